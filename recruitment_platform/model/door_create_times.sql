-- Values of create_time, the event's id: `create_times` has each `value`.
WITH lower_texts AS (
    SELECT lower(unmarked(trimmed(value))) AS text
    FROM create_times
),

recognised AS (
    SELECT
        *,
        regexp_full_match(
            text, '[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
        ) AS is_time_uuid
    FROM lower_texts
),

timed AS (
    SELECT
        *,
        -- 60 bits of 100 ns since 15 October 1582; the tenth is taken before the epochs' distance, so that it floors.
        CASE
            WHEN is_time_uuid
                THEN
                    CAST('0x' || substr(text, 16, 3) || substr(text, 10, 4) || left(text, 8) AS BIGINT)
                    // 10 - 12219292800000000
        END AS received_at
    FROM recognised
)

SELECT
    text AS value,
    received_at,
    CASE
        WHEN text IS NULL THEN 'create_time is missing'
        WHEN NOT is_time_uuid THEN 'create_time is not a TimeUUID'
        WHEN received_at > $newest THEN 'create_time lies in the future'
    END AS reason,
    part(text) AS part
FROM timed
