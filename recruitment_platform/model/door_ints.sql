-- Values of int columns: `ints` has each `value` beside its column's `name`. Whether one that is none is noted or makes
-- the row rejected is decided by who asks, for `flag` or for `reason`.
WITH unmarked_texts AS (
    SELECT
        name,
        unmarked(trimmed(value)) AS text
    FROM ints
),

typed AS (
    SELECT
        *,
        as_int(text) AS number
    FROM unmarked_texts
)

SELECT
    number AS value,
    if(text IS NOT NULL AND number IS NULL, name || ' unreadable', NULL) AS flag,
    if(text IS NOT NULL AND number IS NULL, name || ' is not an integer', NULL) AS reason,
    part(CAST(number AS VARCHAR)) AS part
FROM typed
