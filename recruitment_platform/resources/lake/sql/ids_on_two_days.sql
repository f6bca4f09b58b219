-- Events of the asked days whose id also stands on another day of these files. As UUID an id takes half the memory.
WITH ids AS (
    SELECT
        CAST(create_time AS UUID) AS create_time,
        event_date
    FROM read_parquet($files, hive_partitioning = false)
),

split AS (
    SELECT create_time
    FROM ids
    GROUP BY create_time
    HAVING min(event_date) <> max(event_date)
)

SELECT DISTINCT
    CAST(create_time AS VARCHAR) AS create_time,
    event_date
FROM ids
WHERE
    event_date BETWEEN $first AND $last
    AND create_time IN (SELECT create_time FROM split)
ORDER BY
    create_time,
    event_date
