INSERT INTO dimension_version BY NAME
SELECT
    $dimension AS dimension,
    $version AS version,
    $rows AS rows_loaded,
    now() AS loaded_at
