-- The embedded lake's catalog: what is in no table here does not exist for readers.
CREATE TABLE settings (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Event files, immutable; `path` is relative to the lake's folder.
CREATE TABLE files (
    path TEXT NOT NULL PRIMARY KEY,
    event_date TEXT NOT NULL,
    size INTEGER NOT NULL
) STRICT;

CREATE INDEX files_by_event_date ON files (event_date);

CREATE TABLE day_state (
    event_date TEXT NOT NULL,
    source TEXT NOT NULL,
    last_position INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    hash_sum INTEGER NOT NULL,
    PRIMARY KEY (event_date, source)
) STRICT, WITHOUT ROWID;

-- `replayed` of the accepted rows were rejected at first.
CREATE TABLE sources (
    source TEXT NOT NULL PRIMARY KEY,
    last_position INTEGER NOT NULL,
    received INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    rejected INTEGER NOT NULL,
    replayed INTEGER NOT NULL DEFAULT 0,
    CHECK (received = accepted + rejected)
) STRICT;

CREATE TABLE source_paths (
    source TEXT NOT NULL,
    path TEXT NOT NULL,
    PRIMARY KEY (source, path)
) STRICT, WITHOUT ROWID;

CREATE TABLE rejected (
    table_name TEXT NOT NULL,
    source TEXT NOT NULL,
    position INTEGER NOT NULL,
    reason TEXT NOT NULL,
    content TEXT NOT NULL,
    ingest_date TEXT NOT NULL,
    path TEXT NOT NULL,
    PRIMARY KEY (table_name, source, position)
) STRICT;

CREATE INDEX rejected_by_ingest_date ON rejected (ingest_date, source, position);

-- Rows of other tables than tracking that were rejected, and are in use since they were replayed.
CREATE TABLE settled (
    table_name TEXT NOT NULL,
    source TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (table_name, source, position)
) STRICT, WITHOUT ROWID;
