DELETE FROM dim_jobs
