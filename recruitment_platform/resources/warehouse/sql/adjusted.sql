-- The booking in force of each adjusted day, of these days or (null) of all: the newest one of the load in force. A day
-- that was never loaded is adjusted under load 0.
SELECT
    booked.dates,
    booked.manifest,
    booked.number,
    booked.digest,
    booked.rows_adjusted,
    booked.clicks,
    CAST(booked.spend * 1000000 AS BIGINT) AS spend_micros,
    booked.watermark,
    booked.dim_version,
    booked.code_version,
    booked.run_id,
    booked.booked_at
FROM adjustment_ledger AS booked
LEFT JOIN (
    SELECT
        dates,
        max(manifest) AS manifest
    FROM load_ledger
    GROUP BY dates
) AS loads ON booked.dates = loads.dates
WHERE
    booked.manifest = coalesce(loads.manifest, 0)
    AND ($days IS NULL OR booked.dates IN (SELECT unnest($days::DATE[])))
QUALIFY row_number() OVER (PARTITION BY booked.dates ORDER BY booked.number DESC) = 1
ORDER BY booked.dates
