-- The load in force of each day that was loaded, of these days or (null) of all.
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
WHERE $days IS NULL OR dates IN (SELECT unnest($days::DATE[]))
QUALIFY row_number() OVER (PARTITION BY dates ORDER BY manifest DESC) = 1
ORDER BY dates
