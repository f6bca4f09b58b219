-- The day's source partitions as a type, in their order: to sort by it is to sort by a number.
CREATE OR REPLACE TEMPORARY TYPE sources AS ENUM (
    SELECT unnest($sources) AS source
    ORDER BY source
)
