-- The newest booking that adjusts that load of the day.
SELECT
    number,
    run_id,
    booked_at
FROM adjustment_ledger
WHERE dates = CAST(:day AS DATE) AND manifest = :manifest
ORDER BY number DESC
LIMIT 1
