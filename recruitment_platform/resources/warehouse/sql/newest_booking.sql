-- The newest booking that adjusts that load of the day.
SELECT number
FROM adjustment_ledger
WHERE dates = $day::DATE AND manifest = $manifest
ORDER BY number DESC
LIMIT 1
