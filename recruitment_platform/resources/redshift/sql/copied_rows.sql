-- Rows that this session's last COPY took in; the driver itself tells none.
SELECT pg_last_copy_count() AS copied
