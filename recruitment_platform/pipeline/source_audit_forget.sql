-- Makes room for the next source.
DELETE FROM read_again;

DELETE FROM rejected_again;
