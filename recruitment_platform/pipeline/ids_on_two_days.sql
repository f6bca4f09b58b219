-- Events whose id stands on another event day too, of the days that are taken.
CREATE TEMPORARY TABLE ids_on_two_days AS
SELECT
    create_time,
    event_date
FROM lake_ids
