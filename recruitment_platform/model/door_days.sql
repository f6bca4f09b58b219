-- The day of each `time` of `times` (microseconds since 1970 UTC) in a time zone, in order.
SELECT CAST(timezone($time_zone, make_timestamptz(time)) AS DATE) AS day
FROM times
