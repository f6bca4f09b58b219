INSERT INTO redshift_fact_events BY NAME
SELECT *
FROM read_parquet($files, hive_partitioning = false)
