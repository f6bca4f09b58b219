-- The hourly facts of a day, by hand for DuckDB.
SELECT
    coalesce(e.resolved_job_id, 0)::INTEGER AS job_id,
    coalesce(e.resolved_publisher_id, 0)::INTEGER AS publisher_id,
    coalesce(e.campaign_id, j.campaign_id, 0)::INTEGER AS campaign_id,
    coalesce(e.group_id, j.group_id, 0)::INTEGER AS group_id,
    coalesce(j.company_id, 0)::INTEGER AS company_id,
    e.event_date AS dates,
    e.event_hour AS hours,
    count(*) FILTER (WHERE e.kind = 'click') AS clicks,
    count(*) FILTER (WHERE e.kind = 'conversion') AS conversion,
    count(*) FILTER (WHERE e.kind = 'qualified') AS qualified_application,
    count(*) FILTER (WHERE e.kind = 'unqualified') AS disqualified_application,
    (coalesce(sum(e.bid_micros) FILTER (WHERE e.kind = 'click'), 0)::DECIMAL(18, 0) * 0.000001)::DECIMAL(18, 6)
        AS spend_hour,
    (
        (2 * coalesce(sum(e.bid_micros) FILTER (WHERE e.kind = 'click'), 0) + 10000 * clicks)
        // (20000 * greatest(clicks, 1)) * 0.01
    )::DECIMAL(18, 2) AS bid_set,
    NULL::BIGINT AS impressions,
    'Parquet' AS sources,
    max(e.received_at) AS latest_update_time
FROM read_parquet($raw_tracking) AS e
LEFT JOIN read_parquet($dim_jobs) AS j
    ON
        e.resolved_job_id = j.job_id
        AND e.event_time >= j.valid_from
        AND (j.valid_to IS NULL OR e.event_time < j.valid_to)
WHERE e.kind <> 'not_countable'
GROUP BY 1, 2, 3, 4, 5, 6, 7
