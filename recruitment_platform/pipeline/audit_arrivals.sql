-- The day's arrivals as the lake has them, each with its kind, and whether it was there when the snapshot was taken.
-- `events` is a scan of the day; `reach` tells up to which position of each source the snapshot goes.
CREATE OR REPLACE TEMPORARY TABLE arrived AS
SELECT
    CAST(events.create_time AS UUID) AS create_time,
    events.payload_hash,
    events.source,
    events.position,
    events.bid_micros,
    CASE events.custom_track
        WHEN 'click' THEN 'click'
        WHEN 'clicks' THEN 'click'
        WHEN 'conversion' THEN 'conversion'
        WHEN 'qualified' THEN 'qualified'
        WHEN 'unqualified' THEN 'unqualified'
        ELSE 'not_countable'
    END AS kind,
    events.position <= coalesce(reach.last_position, 0) AS is_in_snapshot
FROM events
LEFT JOIN reach
    ON events.source = reach.source
