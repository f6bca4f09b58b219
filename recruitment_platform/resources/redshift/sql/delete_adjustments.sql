DELETE FROM fact_adjustments
WHERE dates = CAST(:day AS DATE)
