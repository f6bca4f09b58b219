-- The embedded lake's statements over its catalog (SQLite), each under its name.

-- name: add_setting
INSERT INTO settings (name, value) VALUES (:name, :value);

-- name: settings
SELECT name, value FROM settings;

-- name: progress
SELECT last_position FROM sources WHERE source = :source;

-- name: add_path
INSERT OR IGNORE INTO source_paths (source, path) VALUES (:source, :path);

-- name: add_file
INSERT INTO files (path, event_date, size) VALUES (:path, :event_date, :size);

-- name: files
SELECT path FROM files;

-- name: files_among
SELECT path FROM files WHERE path IN (SELECT value FROM json_each(:paths));

-- name: files_of_days
SELECT path, size FROM files WHERE event_date BETWEEN :first AND :last ORDER BY path;

-- name: source_of_day
SELECT rows, hash_sum FROM day_state WHERE event_date = :event_date AND source = :source;

-- name: put_day_state
INSERT INTO day_state (event_date, source, last_position, rows, hash_sum)
VALUES (:event_date, :source, :last_position, :rows, :hash_sum)
ON CONFLICT (event_date, source) DO UPDATE SET
    last_position = max(last_position, excluded.last_position),
    rows = excluded.rows,
    hash_sum = excluded.hash_sum;

-- name: day_states
SELECT event_date, source, last_position, rows, hash_sum FROM day_state ORDER BY event_date, source;

-- name: day_states_of
SELECT event_date, source, last_position, rows, hash_sum
FROM day_state
WHERE event_date IN (SELECT value FROM json_each(:days))
ORDER BY event_date, source;

-- name: days
SELECT DISTINCT event_date FROM day_state ORDER BY event_date;

-- name: advance_source
INSERT INTO sources (source, last_position, received, accepted, rejected)
VALUES (:source, :last_position, :received, :accepted, :rejected)
ON CONFLICT (source) DO UPDATE SET
    last_position = excluded.last_position,
    received = received + excluded.received,
    accepted = accepted + excluded.accepted,
    rejected = rejected + excluded.rejected;

-- name: replay_in_source
UPDATE sources
SET
    accepted = accepted + :rows,
    rejected = rejected - :rows,
    replayed = replayed + :rows
WHERE source = :source
RETURNING replayed;

-- name: sources
SELECT
    source,
    last_position,
    received,
    accepted,
    rejected,
    (
        SELECT json_group_array(path)
        FROM (SELECT path FROM source_paths WHERE source_paths.source = sources.source ORDER BY path)
    ) AS paths
FROM sources
ORDER BY source;

-- name: add_rejected
INSERT INTO rejected (table_name, source, position, reason, content, ingest_date, path)
VALUES (:table, :source, :position, :reason, :content, :ingest_date, :path);

-- name: add_rejected_if_new
INSERT OR IGNORE INTO rejected (table_name, source, position, reason, content, ingest_date, path)
SELECT :table, :source, :position, :reason, :content, :ingest_date, :path
WHERE NOT EXISTS (
    SELECT 1 FROM settled WHERE table_name = :table AND source = :source AND position = :position
);

-- name: add_settled
INSERT OR IGNORE INTO settled (table_name, source, position) VALUES (:table, :source, :position);

-- name: drop_rejected
DELETE FROM rejected WHERE table_name = :table AND source = :source AND position = :position;

-- name: rejected
SELECT table_name, source, position, reason, content, ingest_date, path
FROM rejected
WHERE
    (:ingest_date IS NULL OR ingest_date = :ingest_date)
    AND (:table IS NULL OR table_name = :table)
ORDER BY ingest_date, source, position;

-- name: rejected_by_ingest_day
SELECT ingest_date, count(*) FROM rejected GROUP BY ingest_date ORDER BY ingest_date;
