-- `incoming` holds the new rows.
INSERT INTO fact_adjustments BY NAME
SELECT *
FROM incoming
