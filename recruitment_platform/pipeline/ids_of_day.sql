-- The day's ids that stand on another event day too.
SELECT create_time
FROM ids_on_two_days
WHERE event_date = $day
