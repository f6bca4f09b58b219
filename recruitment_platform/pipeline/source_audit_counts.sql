-- How many rows of the day source and lake have; mended ones have no like in the source, where they are rejected.
SELECT
    (
        SELECT count(*)
        FROM read_again
        WHERE position NOT IN (SELECT refused.position FROM refused)
    ) AS in_source,
    count(*) FILTER (WHERE position BETWEEN $first AND $last) AS in_lake,
    count(*) FILTER (WHERE position IN (SELECT position FROM rejected_again)) AS mended
FROM in_lake
WHERE source = $source
