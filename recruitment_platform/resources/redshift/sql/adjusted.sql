-- The booking in force of each adjusted day from :first to :last: the newest one of the load in force. A day that was
-- never loaded is adjusted under load 0.
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
FROM (
    SELECT
        booked.*,
        row_number() OVER (PARTITION BY booked.dates ORDER BY booked.number DESC) AS newest
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
        AND booked.dates BETWEEN CAST(:first AS DATE) AND CAST(:last AS DATE)
) AS bookings
WHERE newest = 1
ORDER BY dates
