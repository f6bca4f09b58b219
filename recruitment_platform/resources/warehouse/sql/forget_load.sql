-- A manifest's number stands in the ledger once.
DELETE FROM load_ledger
WHERE dates = $day::DATE AND manifest = $manifest
