INSERT INTO dimension_version (
    dimension,
    version,
    rows_loaded,
    loaded_at
)
VALUES (
    :dimension,
    :version,
    :rows,
    CAST(:loaded_at AS TIMESTAMP)
)
