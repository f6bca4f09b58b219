"""The embedded lake: Parquet files and a SQLite catalog."""
