SELECT
    version,
    loaded_at
FROM dimension_version
WHERE dimension = :dimension
