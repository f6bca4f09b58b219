-- The day's load in force.
SELECT
    manifest,
    digest,
    run_id,
    loaded_at
FROM load_ledger
WHERE dates = CAST(:day AS DATE)
ORDER BY manifest DESC
LIMIT 1
