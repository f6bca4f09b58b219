-- What rule 1 lists: conflicts, and ids that stand on another day too.
SELECT
    create_time,
    payload_hash,
    'conflict' AS reason,
    first_arrival.source AS source,
    first_arrival.position AS position
FROM arrivals
WHERE NOT is_counted
UNION ALL
SELECT
    arrivals.create_time,
    arrivals.payload_hash,
    'id_on_two_days' AS reason,
    arrivals.first_arrival.source AS source,
    arrivals.first_arrival.position AS position
FROM arrivals
INNER JOIN ids_on_two_days
    ON arrivals.create_time = ids_on_two_days.create_time
    AND arrivals.event_date = ids_on_two_days.event_date
WHERE arrivals.is_counted
ORDER BY reason, create_time, payload_hash
