-- Events and micros of each kind in a snapshot's files.
SELECT
    kind,
    count(*) AS events,
    sum(bid_micros)::BIGINT AS micros
FROM read_parquet($files, hive_partitioning = false)
GROUP BY kind
ORDER BY kind
