-- `incoming` holds the new rows.
DELETE FROM dim_jobs;

INSERT INTO dim_jobs BY NAME
SELECT *
FROM incoming;
