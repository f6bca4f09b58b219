-- Events and micros of each kind in a snapshot's files. Not of each measure, which the facts are made from: so they are
-- held to another column, and a snapshot of which the two columns tell other counts is not published.
SELECT
    kind,
    count(*) AS events,
    sum(bid_micros)::BIGINT AS micros
FROM read_parquet($files, hive_partitioning = false)
GROUP BY kind
ORDER BY kind
