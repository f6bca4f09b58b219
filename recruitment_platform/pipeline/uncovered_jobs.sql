-- Jobs of staged facts that dim_jobs does not know.
SELECT DISTINCT facts.job_id
FROM read_parquet($files, hive_partitioning = false) AS facts
WHERE
    facts.job_id <> 0
    AND facts.job_id NOT IN (
        SELECT dim_jobs.job_id
        FROM read_parquet($dim_jobs, hive_partitioning = false) AS dim_jobs
    )
ORDER BY facts.job_id
