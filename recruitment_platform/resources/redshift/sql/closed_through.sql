-- The day through which the facts are closed; null where nothing was ever closed.
SELECT max(closed_through) AS closed_through
FROM billing_close
