SELECT version
FROM dimension_version
WHERE dimension = $dimension
