-- The same on clusters, or for users, that have no SYS views.
SELECT
    trim(filename) AS file_name,
    trim(colname) AS column_name,
    trim(err_reason) AS error_message
FROM stl_load_errors
WHERE session = :session_id
ORDER BY starttime DESC
LIMIT 1
