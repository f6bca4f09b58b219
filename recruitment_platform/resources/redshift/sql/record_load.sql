INSERT INTO load_ledger (
    dates,
    manifest,
    digest,
    rows_loaded,
    clicks,
    spend,
    watermark,
    dim_version,
    code_version,
    run_id,
    loaded_at
)
VALUES (
    CAST(:day AS DATE),
    :manifest,
    :digest,
    :rows,
    :clicks,
    CAST(:spend AS DECIMAL(18, 6)),
    :watermark,
    :dim_version,
    :code_version,
    :run_id,
    CAST(:loaded_at AS TIMESTAMP)
)
