-- What staged facts are reconciled and checked by, one row.
WITH facts AS (
    SELECT *
    FROM read_parquet($files, hive_partitioning = false)
)

SELECT
    count(*) AS rows,
    coalesce(sum(clicks), 0)::BIGINT AS clicks,
    coalesce(sum(conversion), 0)::BIGINT AS conversion,
    coalesce(sum(qualified_application), 0)::BIGINT AS qualified,
    coalesce(sum(disqualified_application), 0)::BIGINT AS disqualified,
    coalesce(sum(CAST(spend_hour * 1000000 AS BIGINT)), 0)::BIGINT AS spend_micros,
    count(*) - count(DISTINCT (dates, hours, job_id, publisher_id, campaign_id, group_id, company_id)) AS repeated_keys,
    count(*) FILTER (WHERE dates IS DISTINCT FROM $day::DATE) AS other_days,
    count(*) FILTER (
        WHERE dates IS NULL OR hours IS NULL OR job_id IS NULL OR publisher_id IS NULL OR campaign_id IS NULL
        OR group_id IS NULL OR company_id IS NULL OR clicks IS NULL OR conversion IS NULL
        OR qualified_application IS NULL OR disqualified_application IS NULL OR spend_hour IS NULL OR bid_set IS NULL
        OR sources IS NULL OR latest_update_time IS NULL
    ) AS rows_with_null
FROM facts
