-- What the fact table holds for each of the days that have a row.
SELECT
    dates,
    count(*) AS rows,
    sum(clicks)::BIGINT AS clicks,
    sum(conversion)::BIGINT AS conversion,
    sum(qualified_application)::BIGINT AS qualified,
    sum(disqualified_application)::BIGINT AS disqualified,
    sum(CAST(spend_hour * 1000000 AS BIGINT))::BIGINT AS spend_micros
FROM redshift_fact_events
WHERE dates IN (SELECT unnest($days::DATE[]))
GROUP BY dates
