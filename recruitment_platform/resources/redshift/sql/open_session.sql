-- Where the tables are, and how long a statement may wait: both hold for the whole session.
SELECT
    set_config('search_path', :schema, false) AS search_path,
    set_config('statement_timeout', :milliseconds, false) AS statement_timeout
