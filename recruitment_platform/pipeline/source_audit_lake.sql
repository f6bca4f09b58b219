-- What the lake holds of the day, and room for one source read again: its rows of the day, and what must be rejected.
CREATE OR REPLACE TEMPORARY TABLE in_lake AS
SELECT
    CAST(create_time AS UUID) AS create_time,
    payload_hash,
    source,
    position
FROM events;

CREATE OR REPLACE TEMPORARY TABLE read_again (
    create_time UUID,
    payload_hash BIGINT,
    position BIGINT
);

CREATE OR REPLACE TEMPORARY TABLE rejected_again (position BIGINT);
