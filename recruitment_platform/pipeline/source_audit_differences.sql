-- Rows of the day that only the source has (missing in the lake), or only the lake (in no source): how many of each, and
-- the first ones. `refused` are positions of the source that the lake has as rejected; `taken_in` is how far it took it in.
WITH of_source AS (
    SELECT
        create_time,
        payload_hash,
        position
    FROM read_again
    WHERE position NOT IN (SELECT refused.position FROM refused)
),

of_lake AS (
    SELECT
        create_time,
        payload_hash,
        position
    FROM in_lake
    WHERE
        source = $source
        AND position >= $first
        -- What lies between was taken in while the source was read again.
        AND (position <= $last OR position > $taken_in)
        AND position NOT IN (SELECT rejected_again.position FROM rejected_again)
),

differences AS (
    SELECT
        'missing' AS what,
        *
    FROM (SELECT * FROM of_source EXCEPT SELECT * FROM of_lake)
    UNION ALL
    SELECT
        'extra' AS what,
        *
    FROM (SELECT * FROM of_lake EXCEPT SELECT * FROM of_source)
)

SELECT
    what,
    CAST(create_time AS VARCHAR) AS create_time,
    position,
    count(*) OVER (PARTITION BY what) AS total
FROM differences
QUALIFY row_number() OVER (PARTITION BY what ORDER BY position) <= $listed
ORDER BY
    what DESC,
    position
