-- What the lake holds of each source on the day: rows, positions, and the sum of the contents' hashes.
SELECT
    source,
    count(*) AS rows,
    count(*) FILTER (WHERE NOT is_in_snapshot) AS later_rows,
    min(position) AS first_position,
    max(position) AS last_position,
    CAST(sum(CAST(payload_hash AS HUGEINT)) AS VARCHAR) AS hash_sum
FROM arrived
GROUP BY source
ORDER BY source
