-- Where the day's events came from: of each source partition, the first and last position at which an event first came.
SELECT
    first_arrival.source AS source,
    min(first_arrival.position) AS first_position,
    max(first_arrival.position) AS last_position
FROM arrivals
GROUP BY first_arrival.source
ORDER BY source
