-- Asked on its own: this function runs on the leader, and cannot be joined with what the nodes keep.
SELECT pg_backend_pid() AS session_id
