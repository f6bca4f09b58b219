-- Rows of a batch, read again, that are of the day.
INSERT INTO read_again
SELECT
    CAST(create_time AS UUID) AS create_time,
    payload_hash,
    position
FROM batch
WHERE
    event_date = $day::DATE
    AND position BETWEEN $first AND $last
