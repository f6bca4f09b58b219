INSERT INTO billing_close (
    closed_through,
    closed_at
)
VALUES (
    CAST(:day AS DATE),
    CAST(:closed_at AS TIMESTAMP)
)
