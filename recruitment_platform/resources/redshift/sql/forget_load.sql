-- A manifest's number stands in the ledger once.
DELETE FROM load_ledger
WHERE dates = CAST(:day AS DATE) AND manifest = :manifest
