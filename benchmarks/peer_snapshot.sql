-- A day's distinct events out of the lake's files, by hand for DuckDB: of one id, the smallest payload_hash counts.
SELECT
    create_time,
    payload_hash,
    received_at,
    event_time,
    event_date,
    time_source,
    extract(HOUR FROM event_time)::INTEGER AS event_hour,
    CASE
        WHEN custom_track IN ('click', 'clicks') THEN 'click'
        WHEN custom_track IN ('conversion', 'qualified', 'unqualified') THEN custom_track
        ELSE 'not_countable'
    END AS kind,
    CASE kind
        WHEN 'click' THEN 1
        WHEN 'conversion' THEN 2
        WHEN 'qualified' THEN 3
        WHEN 'unqualified' THEN 4
        ELSE 0
    END AS measure,
    resolved_job_id,
    resolved_publisher_id,
    campaign_id,
    group_id,
    bid_micros
FROM read_parquet($files, hive_partitioning = false)
QUALIFY row_number() OVER (PARTITION BY create_time ORDER BY payload_hash) = 1
