-- What the cluster noted of this session's last COPY that failed.
SELECT
    trim(file_name) AS file_name,
    trim(column_name) AS column_name,
    trim(error_message) AS error_message
FROM sys_load_error_detail
WHERE session_id = :session_id
ORDER BY start_time DESC
LIMIT 1
