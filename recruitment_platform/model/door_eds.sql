-- Values of ed, the JSON text of the custom event: `eds` has each `value`, in order.
WITH recognised AS (
    SELECT
        value,
        -- Only the first level of an object is looked at. JSON's own white space, not that of other columns, is taken
        -- away where that is needed: DuckDB works out both sides of an OR for every row.
        CASE
            WHEN starts_with(value, '{') THEN json_valid(value)
            ELSE starts_with(ltrim(value, chr(32) || chr(9) || chr(10) || chr(13)), '{') AND json_valid(value)
        END AS is_object
    FROM eds
),

members AS (
    SELECT
        value,
        is_object,
        CASE WHEN is_object THEN json_extract_string(value, ['$.jobId', '$.publisherId']) END AS ids
    FROM recognised
)

SELECT
    coalesce(value != '' AND NOT is_object, FALSE) AS is_no_object,
    ids[1] AS job_id,
    ids[2] AS publisher_id
FROM members
