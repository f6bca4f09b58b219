DELETE FROM fact_adjustments
WHERE dates = $day::DATE
