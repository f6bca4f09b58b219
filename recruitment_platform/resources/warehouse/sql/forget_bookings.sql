-- What adjusted a load under a number that is loaded anew.
DELETE FROM adjustment_ledger
WHERE dates = $day::DATE AND manifest = $manifest
