-- The day's distinct events (rule 1): of one id, the smallest payload_hash counts.
-- `arrivals` is the temporary table that `snapshot_arrivals.sql` made of the lake's events.
SELECT
    create_time,
    payload_hash,
    received_at,
    event_time,
    event_date,
    time_source,
    CAST(extract(HOUR FROM timezone($time_zone, event_time)) AS INTEGER) AS event_hour,
    CASE custom_track
        WHEN 'click' THEN 'click'
        WHEN 'clicks' THEN 'click'
        WHEN 'conversion' THEN 'conversion'
        WHEN 'qualified' THEN 'qualified'
        WHEN 'unqualified' THEN 'unqualified'
        ELSE 'not_countable'
    END AS kind,
    resolved_job_id,
    resolved_publisher_id,
    campaign_id,
    group_id,
    bid_micros
FROM arrivals
WHERE is_counted
ORDER BY create_time
