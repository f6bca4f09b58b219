-- The day's load in force.
SELECT
    manifest,
    digest
FROM load_ledger
WHERE dates = $day::DATE
ORDER BY manifest DESC
LIMIT 1
