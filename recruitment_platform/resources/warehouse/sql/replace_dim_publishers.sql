-- `incoming` holds the new rows.
DELETE FROM dim_publishers;

INSERT INTO dim_publishers BY NAME
SELECT *
FROM incoming;
