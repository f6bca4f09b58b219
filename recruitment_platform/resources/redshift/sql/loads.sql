-- Every load of the day that was committed, oldest first.
SELECT
    dates,
    manifest,
    digest,
    rows_loaded,
    clicks,
    CAST(spend * 1000000 AS BIGINT) AS spend_micros,
    watermark,
    dim_version,
    code_version,
    run_id,
    loaded_at
FROM load_ledger
WHERE dates = CAST(:day AS DATE)
ORDER BY manifest
