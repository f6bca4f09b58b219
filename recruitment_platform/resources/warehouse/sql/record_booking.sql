INSERT INTO adjustment_ledger BY NAME
SELECT
    $day::DATE AS dates,
    $manifest AS manifest,
    $number AS number,
    $digest AS digest,
    $rows AS rows_adjusted,
    $clicks AS clicks,
    $spend::DECIMAL(18, 6) AS spend,
    $watermark AS watermark,
    $dim_version AS dim_version,
    $code_version AS code_version,
    $run_id AS run_id,
    $booked_at::TIMESTAMPTZ AS booked_at
