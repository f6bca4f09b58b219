-- By the day's window, not by the days found in the files: a day without files ends empty.
DELETE FROM redshift_fact_events
WHERE dates = $day::DATE
