-- Events and micros of each kind in a snapshot's files. Not by measure, which the facts are made from: counted by kind,
-- they are held to another column, and a snapshot in which the two disagree is not published.
SELECT
    kind,
    count(*) AS events,
    sum(bid_micros)::BIGINT AS micros
FROM read_parquet($files, hive_partitioning = false)
GROUP BY kind
ORDER BY kind
