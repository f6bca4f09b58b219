-- The door's rules about a row as a whole, one row out for each row in, in order: `judged` has what the other `door_*.sql`
-- have made of its values. A row with a `reason` is rejected, and what else is said of it means nothing.
-- Times are microseconds since 1970 UTC throughout.
WITH believed AS (
    SELECT
        *,
        coalesce(ts BETWEEN received_at - $max_age AND received_at + $max_ahead, FALSE) AS is_believed
    FROM judged
),

timed AS (
    SELECT
        *,
        if(is_believed, ts, received_at) AS event_time
    FROM believed
),

dated AS (
    SELECT
        *,
        CASE
            WHEN $time_zone = 'UTC' THEN CAST(make_timestamp(event_time) AS DATE)
            ELSE CAST(timezone($time_zone, make_timestamptz(event_time)) AS DATE)
        END AS event_date
    FROM timed
)

SELECT
    coalesce(
        create_time_reason,
        campaign_id_reason,
        group_id_reason,
        job_id_reason,
        publisher_id_reason,
        bid_reason,
        CASE WHEN job_id IS NULL THEN ed_reason END,
        CASE
            WHEN event_date < $first_day THEN 'event day is before the first day ' || CAST($first_day AS VARCHAR)
        END
    ) AS reason,
    event_time,
    event_date,
    if(is_believed, 'ts', 'create_time') AS time_source,
    coalesce(job_id, ed_job_id) AS resolved_job_id,
    coalesce(publisher_id, ed_publisher_id) AS resolved_publisher_id,
    -- 128 bits, the lower half of which is `payload_hash`; DuckDB is slower at taking that out.
    md5_number(
        concat_ws(
            ',',
            create_time_part,
            bid_part,
            bn_part,
            campaign_id_part,
            cd_part,
            custom_track_part,
            de_part,
            dl_part,
            dt_part,
            ed_part,
            ev_part,
            group_id_part,
            id_part,
            job_id_part,
            md_part,
            publisher_id_part,
            rl_part,
            sr_part,
            ts_part,
            tz_part,
            ua_part,
            uid_part,
            utm_campaign_part,
            utm_content_part,
            utm_medium_part,
            utm_source_part,
            utm_term_part,
            v_part,
            vp_part
        )
    ) AS payload_md5
FROM dated
