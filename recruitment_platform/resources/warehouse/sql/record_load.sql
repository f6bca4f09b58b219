INSERT INTO load_ledger BY NAME
SELECT
    $day::DATE AS dates,
    $manifest AS manifest,
    $digest AS digest,
    $rows AS rows_loaded,
    $clicks AS clicks,
    $spend::DECIMAL(18, 6) AS spend,
    $watermark AS watermark,
    $dim_version AS dim_version,
    $code_version AS code_version,
    $run_id AS run_id,
    $loaded_at::TIMESTAMPTZ AS loaded_at
