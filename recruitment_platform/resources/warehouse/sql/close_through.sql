INSERT INTO billing_close BY NAME
SELECT
    $day::DATE AS closed_through,
    $closed_at::TIMESTAMPTZ AS closed_at
