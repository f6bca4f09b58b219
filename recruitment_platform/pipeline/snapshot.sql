-- The day's events as the snapshot has them, each as often as it arrived, and beside its columns those by which arrivals
-- are counted. The order brings together what has one id: its contents, the one that counts first (rule 1: the smallest
-- payload_hash), and of each content the arrivals. Rule 3 is stated once, in `kind`: its values' order is `measure`.
SELECT
    create_time,
    payload_hash,
    received_at,
    event_time,
    event_date,
    CAST(time_source AS ENUM ('ts', 'create_time')) AS time_source,
    CAST(
        extract(
            HOUR FROM
            -- A time zone's calendar takes long where there is none to look up.
            CASE $time_zone
                WHEN 'UTC' THEN make_timestamp(epoch_us(event_time))
                ELSE timezone($time_zone, event_time)
            END
        ) AS INTEGER
    ) AS event_hour,
    CAST(
        CASE custom_track
            WHEN 'click' THEN 'click'
            WHEN 'clicks' THEN 'click'
            WHEN 'conversion' THEN 'conversion'
            WHEN 'qualified' THEN 'qualified'
            WHEN 'unqualified' THEN 'unqualified'
            ELSE 'not_countable'
        END AS ENUM ('not_countable', 'click', 'conversion', 'qualified', 'unqualified')
    ) AS kind,
    CAST(enum_code(kind) AS INTEGER) AS measure,
    resolved_job_id,
    resolved_publisher_id,
    campaign_id,
    group_id,
    bid_micros,
    bid IS NULL AS has_no_bid,
    CAST(source AS sources) AS source,
    position
FROM events
ORDER BY create_time, payload_hash, source, position
