-- The positions that the day's rows have in each source.
SELECT
    source,
    count(*) AS rows,
    min(position) AS first_position,
    max(position) AS last_position
FROM in_lake
GROUP BY source
ORDER BY source
