-- Events of the asked days whose id also stands on another day of these files. An id is the time at which its event was
-- received: of two days of one id, the earlier one was over when its event came, or would be so within $margin. So only
-- ids of events that late are looked for. Joined as text, which the files are pruned by, and not as UUID.
WITH days AS (
    SELECT
        CAST(day AS DATE) AS event_date,
        timezone($time_zone, day + INTERVAL 1 DAY) AS ends
    FROM generate_series(CAST($first_of_files AS TIMESTAMP), CAST($last_of_files AS TIMESTAMP), INTERVAL 1 DAY) AS series (day)
),

late AS (
    SELECT DISTINCT
        events.create_time,
        events.event_date
    FROM read_parquet($files, hive_partitioning = false) AS events
    INNER JOIN days ON events.event_date = days.event_date
    WHERE
        events.received_at >= days.ends - $margin
        -- What has a sibling on an asked day was not received before, and is not of a later day: most files are left out.
        AND events.received_at >= timezone($time_zone, CAST($first AS TIMESTAMP)) - $margin
        AND events.event_date <= $last
),

days_of_ids AS (
    SELECT
        late.create_time,
        late.event_date
    FROM late
    UNION
    SELECT
        create_time,
        event_date
    FROM read_parquet($files, hive_partitioning = false)
    WHERE
        create_time IN (SELECT late.create_time FROM late)
        AND event_date >= $first
),

on_two_days AS (
    SELECT
        create_time,
        event_date
    FROM days_of_ids
    QUALIFY count(*) OVER (PARTITION BY create_time) > 1
)

SELECT
    create_time,
    event_date
FROM on_two_days
WHERE event_date BETWEEN $first AND $last
ORDER BY
    create_time,
    event_date
