-- Values of bid: `bids` has each `value`. Money is millionths.
WITH plain_texts AS (
    SELECT without_exponent(unmarked(trimmed(value))) AS text
    FROM bids
),

recognised AS (
    SELECT
        *,
        regexp_full_match(
            text,
            '[+-]?([0-9]+\.?[0-9]*|\.[0-9]+|([1-9](\.[0-9]{0,17})?|0(\.0{0,17})?)[eE][+-]?[0-9]{1,2})'
        ) AS is_number
    FROM plain_texts
),

numbers AS (
    SELECT
        *,
        CASE WHEN is_number THEN TRY_CAST(text AS DECIMAL(18, 6)) END AS number
    FROM recognised
),

counted AS (
    SELECT
        *,
        -- In 38 digits: in 18, a million would already overflow.
        CAST(CAST(number AS DECIMAL(38, 6)) * 1000000 AS BIGINT) AS micros
    FROM numbers
)

SELECT
    number AS value,
    coalesce(micros, 0) AS bid_micros,
    CASE
        WHEN NOT is_number THEN 'bid is not a number'
        WHEN starts_with(text, '-') AND regexp_matches(text, '^[^eE]*[1-9]') THEN 'bid is negative'
        WHEN regexp_matches(text, '\.[0-9]{6}[0-9]*[1-9][0-9]*$|^[+-]?[1-9][^eE]*[eE]-')
            THEN 'bid has more than 6 decimals'
        WHEN text IS NOT NULL AND number IS NULL THEN 'bid is too large'
    END AS reason,
    part(CAST(micros AS VARCHAR)) AS part
FROM counted
