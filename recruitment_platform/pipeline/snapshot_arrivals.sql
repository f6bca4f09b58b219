-- One row for each distinct content of each id, with how often it arrived, and whether it is the one that counts.
-- The columns are functions of the content, so any arrival's value is every arrival's; source and position are the first's.
CREATE OR REPLACE TEMPORARY TABLE arrivals AS
WITH contents AS (
    SELECT
        create_time,
        payload_hash,
        any_value(received_at) AS received_at,
        any_value(event_time) AS event_time,
        any_value(event_date) AS event_date,
        any_value(time_source) AS time_source,
        any_value(custom_track) AS custom_track,
        any_value(resolved_job_id) AS resolved_job_id,
        any_value(resolved_publisher_id) AS resolved_publisher_id,
        any_value(campaign_id) AS campaign_id,
        any_value(group_id) AS group_id,
        any_value(bid_micros) AS bid_micros,
        any_value(bid IS NULL) AS has_no_bid,
        min(struct_pack(source := source, position := position)) AS first_arrival,
        count(*) AS arrivals
    FROM events
    GROUP BY create_time, payload_hash
)

SELECT
    *,
    row_number() OVER (PARTITION BY create_time ORDER BY payload_hash) = 1 AS is_counted
FROM contents
