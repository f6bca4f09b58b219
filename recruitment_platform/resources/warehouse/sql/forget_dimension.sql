DELETE FROM dimension_version
WHERE dimension = $dimension
