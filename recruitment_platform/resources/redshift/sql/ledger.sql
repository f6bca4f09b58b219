-- The load in force of each day from :first to :last that was loaded.
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
FROM (
    SELECT
        *,
        row_number() OVER (PARTITION BY dates ORDER BY manifest DESC) AS newest
    FROM load_ledger
    WHERE dates BETWEEN CAST(:first AS DATE) AND CAST(:last AS DATE)
) AS loads
WHERE newest = 1
ORDER BY dates
