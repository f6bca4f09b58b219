"""The lake on Cassandra."""
