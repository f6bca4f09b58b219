INSERT INTO adjustment_ledger (
    dates,
    manifest,
    number,
    digest,
    rows_adjusted,
    clicks,
    spend,
    watermark,
    dim_version,
    code_version,
    run_id,
    booked_at
)
VALUES (
    CAST(:day AS DATE),
    :manifest,
    :number,
    :digest,
    :rows,
    :clicks,
    CAST(:spend AS DECIMAL(18, 6)),
    :watermark,
    :dim_version,
    :code_version,
    :run_id,
    CAST(:booked_at AS TIMESTAMP)
)
