-- What a day's adjustments add up to; no row where it has none.
SELECT
    CAST(count(*) AS BIGINT) AS rows_of_day,
    CAST(sum(clicks) AS BIGINT) AS clicks,
    CAST(sum(conversion) AS BIGINT) AS conversion,
    CAST(sum(qualified_application) AS BIGINT) AS qualified,
    CAST(sum(disqualified_application) AS BIGINT) AS disqualified,
    CAST(sum(CAST(spend_hour * 1000000 AS BIGINT)) AS BIGINT) AS spend_micros
FROM fact_adjustments
WHERE dates = CAST(:day AS DATE)
GROUP BY dates
