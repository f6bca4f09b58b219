-- What `snapshot_arrivals.sql` makes, where other machines have run it already, each over events of its own ids.
CREATE OR REPLACE TEMPORARY TABLE arrivals AS
SELECT * FROM events
