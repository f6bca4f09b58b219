-- What the fact table holds for each of the days from :first to :last that have a row.
SELECT
    dates,
    CAST(count(*) AS BIGINT) AS rows_of_day,
    CAST(sum(clicks) AS BIGINT) AS clicks,
    CAST(sum(conversion) AS BIGINT) AS conversion,
    CAST(sum(qualified_application) AS BIGINT) AS qualified,
    CAST(sum(disqualified_application) AS BIGINT) AS disqualified,
    CAST(sum(CAST(spend_hour * 1000000 AS BIGINT)) AS BIGINT) AS spend_micros
FROM redshift_fact_events
WHERE dates BETWEEN CAST(:first AS DATE) AND CAST(:last AS DATE)
GROUP BY dates
