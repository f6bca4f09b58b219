-- Facts of one day, as many as asked for, each with a key of its own.
SELECT
    (n // 24 % 40000)::INTEGER AS job_id,
    (n // 960000)::INTEGER AS publisher_id,
    (n // 24 % 40000 % 700)::INTEGER AS campaign_id,
    0 AS group_id,
    (n // 24 % 40000 % 90)::INTEGER AS company_id,
    $day::DATE AS dates,
    (n % 24)::INTEGER AS hours,
    n % 7 AS clicks,
    (n % 50 = 0)::BIGINT AS conversion,
    (n % 300 = 0)::BIGINT AS qualified_application,
    (n % 90 = 0)::BIGINT AS disqualified_application,
    (n % 7 * 350000 * 0.000001)::DECIMAL(18, 6) AS spend_hour,
    CASE WHEN n % 7 = 0 THEN 0 ELSE 0.35 END::DECIMAL(18, 2) AS bid_set,
    NULL::BIGINT AS impressions,
    'Parquet' AS sources,
    $day::DATE::TIMESTAMP::TIMESTAMPTZ + to_microseconds(n * 80000) AS latest_update_time
FROM range($rows) AS series (n)
ORDER BY
    dates,
    hours,
    job_id
