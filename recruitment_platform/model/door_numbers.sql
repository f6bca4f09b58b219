-- Values that are not text, as the text that DuckDB gives them.
SELECT CAST(value AS VARCHAR) AS value
FROM numbers
