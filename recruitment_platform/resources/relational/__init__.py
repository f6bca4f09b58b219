"""The operational tables, dim_jobs and the reports' events: SQLite or MySQL."""
