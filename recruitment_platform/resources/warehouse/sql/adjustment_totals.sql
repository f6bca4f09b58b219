-- What a day's adjustments add up to; no row where it has none.
SELECT
    count(*) AS rows,
    sum(clicks)::BIGINT AS clicks,
    sum(conversion)::BIGINT AS conversion,
    sum(qualified_application)::BIGINT AS qualified,
    sum(disqualified_application)::BIGINT AS disqualified,
    sum(CAST(spend_hour * 1000000 AS BIGINT))::BIGINT AS spend_micros
FROM fact_adjustments
WHERE dates = $day::DATE
GROUP BY dates
