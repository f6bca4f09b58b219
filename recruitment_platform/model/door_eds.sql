-- Values of ed, the JSON text of the custom event: `eds` has each `value`; of a text, `$most` characters are kept.
WITH given AS (
    SELECT nullif(value, '') AS text
    FROM eds
),

recognised AS (
    SELECT
        *,
        -- Only the first level of an object is looked at. JSON's own white space, not `trimmed`'s.
        starts_with(ltrim(text, chr(32) || chr(9) || chr(10) || chr(13)), '{') AND json_valid(text) AS is_object
    FROM given
),

members AS (
    SELECT
        *,
        CASE WHEN is_object THEN json_extract_string(text, ['$.jobId', '$.publisherId']) END AS ids
    FROM recognised
),

unmarked_members AS (
    SELECT
        *,
        unmarked(trimmed(ids[1])) AS job_id,
        unmarked(trimmed(ids[2])) AS publisher_id
    FROM members
),

typed AS (
    SELECT
        *,
        as_int(job_id) AS job_id_int,
        as_int(publisher_id) AS publisher_id_int
    FROM unmarked_members
)

SELECT
    cut(text, $most) AS value,
    job_id_int AS job_id,
    publisher_id_int AS publisher_id,
    CASE
        WHEN NOT is_object THEN if(too_long(text, $most), 'ed unreadable; ed cut', 'ed unreadable')
        WHEN too_long(text, $most) THEN 'ed cut'
    END AS flag,
    if(job_id IS NOT NULL AND job_id_int IS NULL, 'jobId in ed is not an integer', NULL) AS reason,
    part(text) AS part
FROM typed
