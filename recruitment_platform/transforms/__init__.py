"""The SQL, one file a table, and the engines that run it."""
