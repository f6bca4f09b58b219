-- The close that holds.
SELECT
    closed_through,
    closed_at
FROM billing_close
ORDER BY closed_through DESC
LIMIT 1
