-- Values of text columns: `texts` has each `value` beside its column's `name` and the `most` characters that this keeps.
WITH given AS (
    SELECT
        name,
        most,
        nullif(value, '') AS text
    FROM texts
)

SELECT
    cut(text, most) AS value,
    if(too_long(text, most), name || ' cut', NULL) AS flag,
    -- Of the whole text, before it is cut: what the other columns say is then a function of what was hashed.
    part(text) AS part
FROM given
