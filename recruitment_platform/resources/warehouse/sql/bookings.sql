-- Every booking of the day, oldest first.
SELECT
    dates,
    manifest,
    number,
    digest,
    rows_adjusted,
    clicks,
    CAST(spend * 1000000 AS BIGINT) AS spend_micros,
    watermark,
    dim_version,
    code_version,
    run_id,
    booked_at
FROM adjustment_ledger
WHERE dates = $day::DATE
ORDER BY
    manifest,
    number
