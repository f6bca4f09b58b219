-- The door's rules, one row out for each row in, in order. `raw` is the batch: `position`, and the 29 tracking columns in
-- any types. A row with a `reason` is rejected; only `position` and `reason` hold anything then.
-- Times are microseconds since 1970 UTC throughout, money is millionths, until the last step.
WITH texts AS (
    SELECT
        position,
        CAST(COLUMNS(* EXCLUDE (position)) AS VARCHAR)
    FROM raw
),

trimmed_texts AS (
    SELECT
        position,
        trimmed(create_time) AS create_time,
        trimmed(bid) AS bid,
        nullif(bn, '') AS bn,
        trimmed(campaign_id) AS campaign_id,
        trimmed(cd) AS cd,
        nullif(custom_track, '') AS custom_track,
        nullif(de, '') AS de,
        nullif(dl, '') AS dl,
        nullif(dt, '') AS dt,
        nullif(ed, '') AS ed,
        trimmed(ev) AS ev,
        trimmed(group_id) AS group_id,
        nullif(id, '') AS id,
        trimmed(job_id) AS job_id,
        nullif(md, '') AS md,
        trimmed(publisher_id) AS publisher_id,
        nullif(rl, '') AS rl,
        nullif(sr, '') AS sr,
        trimmed(ts) AS ts,
        trimmed(tz) AS tz,
        nullif(ua, '') AS ua,
        nullif(uid, '') AS uid,
        nullif(utm_campaign, '') AS utm_campaign,
        nullif(utm_content, '') AS utm_content,
        nullif(utm_medium, '') AS utm_medium,
        nullif(utm_source, '') AS utm_source,
        nullif(utm_term, '') AS utm_term,
        trimmed(v) AS v,
        nullif(vp, '') AS vp
    FROM texts
),

unmarked_texts AS (
    SELECT
        * REPLACE (
            lower(unmarked(create_time)) AS create_time,
            without_exponent(unmarked(bid)) AS bid,
            unmarked(campaign_id) AS campaign_id,
            unmarked(cd) AS cd,
            unmarked(ev) AS ev,
            unmarked(group_id) AS group_id,
            unmarked(job_id) AS job_id,
            unmarked(publisher_id) AS publisher_id,
            unmarked(ts) AS ts,
            unmarked(tz) AS tz,
            unmarked(v) AS v
        ),
        -- Only the first level of an object is looked at. JSON's own white space, not `trimmed`'s.
        starts_with(ltrim(ed, chr(32) || chr(9) || chr(10) || chr(13)), '{') AND json_valid(ed) AS ed_is_object
    FROM trimmed_texts
),

recognised AS (
    SELECT
        *,
        regexp_full_match(
            create_time, '[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
        ) AS is_time_uuid,
        CASE WHEN ed_is_object THEN json_extract_string(ed, ['$.jobId', '$.publisherId']) END AS ed_ids,
        regexp_full_match(
            ts,
            '[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?'
            || ' ?(Z|UTC|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?'
        ) AS ts_is_clock,
        regexp_full_match(ts, '[+-]?[0-9]+(\.[0-9]*)?') AS ts_is_epoch,
        regexp_full_match(
            bid,
            '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+|([1-9](\.[0-9]{0,17})?|0(\.0{0,17})?)[eE][+-]?[0-9]{1,2})'
        ) AS bid_is_number,
        as_int(campaign_id) AS campaign_id_int,
        as_int(cd) AS cd_int,
        as_int(ev) AS ev_int,
        as_int(group_id) AS group_id_int,
        as_int(job_id) AS job_id_int,
        as_int(publisher_id) AS publisher_id_int,
        as_int(tz) AS tz_int,
        as_int(v) AS v_int
    FROM unmarked_texts
),

parts_of_values AS (
    SELECT
        *,
        -- 60 bits of 100 ns since 15 October 1582; the tenth is taken before the epochs' distance, so that it floors.
        CASE
            WHEN is_time_uuid
                THEN
                    CAST('0x' || substr(create_time, 16, 3) || substr(create_time, 10, 4) || left(create_time, 8) AS BIGINT)
                    // 10 - 12219292800000000
        END AS received_at,
        -- The date can still be none (30 February); the fraction is cut, not rounded.
        CASE
            WHEN ts_is_clock
                THEN epoch_us(TRY_CAST(regexp_extract(ts, '^.{16}(:[0-9]{2}(\.[0-9]{1,6})?)?') AS TIMESTAMP))
        END AS ts_clock,
        CASE WHEN ts_is_clock THEN regexp_extract(substr(ts, 17), '[+-].*$') END AS ts_offset,
        CASE WHEN ts_is_epoch THEN TRY_CAST(split_part(ts, '.', 1) AS BIGINT) END AS ts_epoch,
        CASE WHEN ts_is_epoch THEN rpad(left(split_part(ts, '.', 2), 6), 6, '0') END AS ts_fraction,
        CASE WHEN bid_is_number THEN TRY_CAST(bid AS DECIMAL(18, 6)) END AS bid_number,
        unmarked(trimmed(ed_ids[1])) AS ed_job_id,
        unmarked(trimmed(ed_ids[2])) AS ed_publisher_id
    FROM recognised
),

typed AS (
    SELECT
        *,
        CASE
            WHEN ts_is_clock
                THEN
                    ts_clock
                    - CASE WHEN starts_with(ts_offset, '-') THEN -60000000 ELSE 60000000 END
                    * CASE
                        WHEN ts_offset = '' THEN 0
                        ELSE CAST(substr(ts_offset, 2, 2) AS BIGINT) * 60
                            + CASE WHEN strlen(ts_offset) > 3 THEN CAST(right(ts_offset, 2) AS BIGINT) ELSE 0 END
                    END
            -- Epoch seconds, milliseconds or microseconds, told apart by their magnitude.
            WHEN ts_epoch BETWEEN -99999999999 AND 99999999999
                THEN ts_epoch * 1000000 + if(starts_with(ts, '-'), -1, 1) * CAST(ts_fraction AS BIGINT)
            WHEN ts_epoch BETWEEN -99999999999999 AND 99999999999999
                THEN ts_epoch * 1000 + if(starts_with(ts, '-'), -1, 1) * CAST(left(ts_fraction, 3) AS BIGINT)
            ELSE ts_epoch
        END AS ts_micros,
        -- In 38 digits: in 18, a million would already overflow.
        CAST(CAST(bid_number AS DECIMAL(38, 6)) * 1000000 AS BIGINT) AS bid_typed_micros,
        as_int(ed_job_id) AS ed_job_id_int,
        as_int(ed_publisher_id) AS ed_publisher_id_int
    FROM parts_of_values
),

believed AS (
    SELECT
        * REPLACE (
            -- From year 1 to 9999, what every store and language can hold.
            CASE WHEN ts_micros BETWEEN -62135596800000000 AND 253402300799999999 THEN ts_micros END AS ts_micros
        ),
        CASE
            WHEN ts_micros BETWEEN received_at - $max_age AND received_at + $max_ahead THEN 'ts'
            ELSE 'create_time'
        END AS time_source
    FROM typed
),

dated AS (
    SELECT
        *,
        if(time_source = 'ts', ts_micros, received_at) AS event_time,
        CASE
            WHEN $time_zone = 'UTC' THEN CAST(make_timestamp(if(time_source = 'ts', ts_micros, received_at)) AS DATE)
            ELSE CAST(timezone($time_zone, make_timestamptz(if(time_source = 'ts', ts_micros, received_at))) AS DATE)
        END AS event_date
    FROM believed
),

judged AS (
    SELECT
        *,
        CASE
            WHEN create_time IS NULL THEN 'create_time is missing'
            WHEN NOT is_time_uuid THEN 'create_time is not a TimeUUID'
            WHEN received_at > $newest THEN 'create_time lies in the future'
            WHEN campaign_id IS NOT NULL AND campaign_id_int IS NULL THEN 'campaign_id is not an integer'
            WHEN group_id IS NOT NULL AND group_id_int IS NULL THEN 'group_id is not an integer'
            WHEN job_id IS NOT NULL AND job_id_int IS NULL THEN 'job_id is not an integer'
            WHEN publisher_id IS NOT NULL AND publisher_id_int IS NULL THEN 'publisher_id is not an integer'
            WHEN NOT bid_is_number THEN 'bid is not a number'
            WHEN starts_with(bid, '-') AND regexp_matches(bid, '^[^eE]*[1-9]') THEN 'bid is negative'
            WHEN regexp_matches(bid, '\.[0-9]{6}[0-9]*[1-9][0-9]*$|^[+-]?[1-9][^eE]*[eE]-')
                THEN 'bid has more than 6 decimals'
            WHEN bid IS NOT NULL AND bid_number IS NULL THEN 'bid is too large'
            WHEN job_id IS NULL AND ed_job_id IS NOT NULL AND ed_job_id_int IS NULL
                THEN 'jobId in ed is not an integer'
            WHEN event_date < $first_day THEN 'event day is before the first day ' || CAST($first_day AS VARCHAR)
        END AS reason
    FROM dated
)

SELECT
    reason,
    create_time,
    bid_number AS bid,
    cut(bn, $lengths.bn) AS bn,
    campaign_id_int AS campaign_id,
    cd_int AS cd,
    cut(custom_track, $lengths.custom_track) AS custom_track,
    cut(de, $lengths.de) AS de,
    cut(dl, $lengths.dl) AS dl,
    cut(dt, $lengths.dt) AS dt,
    cut(ed, $lengths.ed) AS ed,
    ev_int AS ev,
    group_id_int AS group_id,
    cut(id, $lengths.id) AS id,
    job_id_int AS job_id,
    cut(md, $lengths.md) AS md,
    publisher_id_int AS publisher_id,
    cut(rl, $lengths.rl) AS rl,
    cut(sr, $lengths.sr) AS sr,
    ts_micros AS ts,
    tz_int AS tz,
    cut(ua, $lengths.ua) AS ua,
    cut(uid, $lengths.uid) AS uid,
    cut(utm_campaign, $lengths.utm_campaign) AS utm_campaign,
    cut(utm_content, $lengths.utm_content) AS utm_content,
    cut(utm_medium, $lengths.utm_medium) AS utm_medium,
    cut(utm_source, $lengths.utm_source) AS utm_source,
    cut(utm_term, $lengths.utm_term) AS utm_term,
    v_int AS v,
    cut(vp, $lengths.vp) AS vp,
    received_at,
    event_time,
    event_date,
    time_source,
    coalesce(job_id_int, ed_job_id_int) AS resolved_job_id,
    coalesce(publisher_id_int, ed_publisher_id_int) AS resolved_publisher_id,
    coalesce(bid_typed_micros, 0) AS bid_micros,
    -- Of the whole texts, before they are cut: what the other columns say is then a function of what was hashed.
    md5_number_upper(
        concat_ws(
            ',',
            part(create_time),
            part(CAST(bid_typed_micros AS VARCHAR)),
            part(bn),
            part(CAST(campaign_id_int AS VARCHAR)),
            part(CAST(cd_int AS VARCHAR)),
            part(custom_track),
            part(de),
            part(dl),
            part(dt),
            part(ed),
            part(CAST(ev_int AS VARCHAR)),
            part(CAST(group_id_int AS VARCHAR)),
            part(id),
            part(CAST(job_id_int AS VARCHAR)),
            part(md),
            part(CAST(publisher_id_int AS VARCHAR)),
            part(rl),
            part(sr),
            part(CAST(ts_micros AS VARCHAR)),
            part(CAST(tz_int AS VARCHAR)),
            part(ua),
            part(uid),
            part(utm_campaign),
            part(utm_content),
            part(utm_medium),
            part(utm_source),
            part(utm_term),
            part(CAST(v_int AS VARCHAR)),
            part(vp)
        )
    ) AS payload_hash,
    nullif(
        concat_ws(
            '; ',
            if(too_long(bn, $lengths.bn), 'bn cut', NULL),
            if(cd IS NOT NULL AND cd_int IS NULL, 'cd unreadable', NULL),
            if(too_long(custom_track, $lengths.custom_track), 'custom_track cut', NULL),
            if(too_long(de, $lengths.de), 'de cut', NULL),
            if(too_long(dl, $lengths.dl), 'dl cut', NULL),
            if(too_long(dt, $lengths.dt), 'dt cut', NULL),
            if(NOT ed_is_object, 'ed unreadable', NULL),
            if(too_long(ed, $lengths.ed), 'ed cut', NULL),
            if(ev IS NOT NULL AND ev_int IS NULL, 'ev unreadable', NULL),
            if(too_long(id, $lengths.id), 'id cut', NULL),
            if(too_long(md, $lengths.md), 'md cut', NULL),
            if(too_long(rl, $lengths.rl), 'rl cut', NULL),
            if(too_long(sr, $lengths.sr), 'sr cut', NULL),
            if(ts IS NOT NULL AND ts_micros IS NULL, 'ts unreadable', NULL),
            if(tz IS NOT NULL AND tz_int IS NULL, 'tz unreadable', NULL),
            if(too_long(ua, $lengths.ua), 'ua cut', NULL),
            if(too_long(uid, $lengths.uid), 'uid cut', NULL),
            if(too_long(utm_campaign, $lengths.utm_campaign), 'utm_campaign cut', NULL),
            if(too_long(utm_content, $lengths.utm_content), 'utm_content cut', NULL),
            if(too_long(utm_medium, $lengths.utm_medium), 'utm_medium cut', NULL),
            if(too_long(utm_source, $lengths.utm_source), 'utm_source cut', NULL),
            if(too_long(utm_term, $lengths.utm_term), 'utm_term cut', NULL),
            if(v IS NOT NULL AND v_int IS NULL, 'v unreadable', NULL),
            if(too_long(vp, $lengths.vp), 'vp cut', NULL)
        ),
        ''
    ) AS flags,
    $source AS source,
    position
FROM judged
