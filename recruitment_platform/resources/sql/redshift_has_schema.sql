SELECT count(*) AS found
FROM pg_namespace
WHERE nspname = lower(:schema)
