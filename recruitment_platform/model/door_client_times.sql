-- Values of ts, the client's time: `client_times` has each `value`. Times are microseconds since 1970 UTC throughout.
WITH unmarked_texts AS (
    SELECT unmarked(trimmed(value)) AS text
    FROM client_times
),

recognised AS (
    SELECT
        *,
        regexp_full_match(
            text,
            '[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?'
            || ' ?(Z|UTC|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)?'
        ) AS is_clock,
        regexp_full_match(text, '[+-]?[0-9]+(\.[0-9]*)?') AS is_epoch
    FROM unmarked_texts
),

parts_of_values AS (
    SELECT
        *,
        -- The date can still be none (30 February); the fraction is cut, not rounded.
        CASE
            WHEN is_clock
                THEN epoch_us(TRY_CAST(regexp_extract(text, '^.{16}(:[0-9]{2}(\.[0-9]{1,6})?)?') AS TIMESTAMP))
        END AS clock,
        CASE WHEN is_clock THEN regexp_extract(substr(text, 17), '[+-].*$') END AS zone,
        CASE WHEN is_epoch THEN TRY_CAST(split_part(text, '.', 1) AS BIGINT) END AS epoch,
        CASE WHEN is_epoch THEN rpad(left(split_part(text, '.', 2), 6), 6, '0') END AS fraction
    FROM recognised
),

typed AS (
    SELECT
        *,
        CASE
            WHEN is_clock
                THEN
                    clock
                    - CASE WHEN starts_with(zone, '-') THEN -60000000 ELSE 60000000 END
                    * CASE
                        WHEN zone = '' THEN 0
                        ELSE CAST(substr(zone, 2, 2) AS BIGINT) * 60
                            + CASE WHEN strlen(zone) > 3 THEN CAST(right(zone, 2) AS BIGINT) ELSE 0 END
                    END
            -- Epoch seconds, milliseconds or microseconds, told apart by their magnitude.
            WHEN epoch BETWEEN -99999999999 AND 99999999999
                THEN epoch * 1000000 + if(starts_with(text, '-'), -1, 1) * CAST(fraction AS BIGINT)
            WHEN epoch BETWEEN -99999999999999 AND 99999999999999
                THEN epoch * 1000 + if(starts_with(text, '-'), -1, 1) * CAST(left(fraction, 3) AS BIGINT)
            ELSE epoch
        END AS any_micros
    FROM parts_of_values
),

sayable AS (
    SELECT
        *,
        -- From year 1 to 9999, what every store and language can hold.
        CASE WHEN any_micros BETWEEN -62135596800000000 AND 253402300799999999 THEN any_micros END AS micros
    FROM typed
)

SELECT
    micros AS value,
    if(text IS NOT NULL AND micros IS NULL, 'ts unreadable', NULL) AS flag,
    part(CAST(micros AS VARCHAR)) AS part
FROM sayable
