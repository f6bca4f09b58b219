-- From here on a statement may take as long as it takes: the locks are ours.
SELECT set_config('statement_timeout', '0', false) AS statement_timeout
