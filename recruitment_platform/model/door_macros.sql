-- Names for what the door's query does to many columns.

-- Without ASCII white space at both ends. Most values are empty or have none, and looking first (`!` follows the space) is
-- ten times as fast.
CREATE OR REPLACE TEMPORARY MACRO trimmed(value) AS
    CASE
        WHEN value = '' THEN NULL
        WHEN value < '!' OR right(value, 1) < '!'
            THEN trim(value, chr(32) || chr(9) || chr(10) || chr(11) || chr(12) || chr(13))
        ELSE value
    END;

-- What exports write for "no value" in columns that are not text. (Of `IN`, DuckDB makes a join for each column.)
CREATE OR REPLACE TEMPORARY MACRO unmarked(value) AS
    CASE lower(value)
        WHEN '' THEN NULL
        WHEN 'nan' THEN NULL
        WHEN 'null' THEN NULL
        WHEN 'none' THEN NULL
        WHEN '\n' THEN NULL
        WHEN 'nat' THEN NULL
        ELSE value
    END;

-- 188, +188, 188. and 188.0 are integers, 188.5 and 1e3 are not; null where it does not fit 32 bits.
CREATE OR REPLACE TEMPORARY MACRO as_int(value) AS
    CASE
        WHEN regexp_full_match(value, '[+-]?[0-9]+(?:\.0*)?') THEN TRY_CAST(value AS INTEGER)
    END;

-- 1e-05, as JSON and doubles write small amounts, becomes 0.00001. Exact: of small amounts all 12 + 17 decimals are kept,
-- of large ones 17; what is smaller or larger than that stays as it is.
CREATE OR REPLACE TEMPORARY MACRO without_exponent(value) AS
    CASE
        WHEN regexp_full_match(value, '[+-]?(?:[1-9](?:\.[0-9]{0,17})?|0(?:\.0{0,17})?)[eE](?:\+?[0-9]{1,2}|-0?[0-9]|-1[0-2])')
            THEN
                coalesce(
                    CAST(TRY_CAST(value AS DECIMAL(38, 29)) AS VARCHAR),
                    CAST(TRY_CAST(value AS DECIMAL(38, 17)) AS VARCHAR),
                    value
                )
        ELSE value
    END;

CREATE OR REPLACE TEMPORARY MACRO too_long(value, most) AS strlen(value) > most AND length(value) > most;

CREATE OR REPLACE TEMPORARY MACRO cut(value, most) AS CASE WHEN strlen(value) > most THEN left(value, most) ELSE value END;

-- One column's part of what payload_hash is taken of: its length in bytes goes first, so that no two rows share a text.
CREATE OR REPLACE TEMPORARY MACRO part(value) AS
    CASE WHEN value IS NULL THEN '-' ELSE concat(strlen(value), ':', value) END;
