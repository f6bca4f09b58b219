-- Positions of a batch, read again, that must be rejected.
INSERT INTO rejected_again
SELECT position
FROM rejected
