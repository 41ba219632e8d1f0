-- Positions are given by the writer (last + 1), so that they have no gaps: no AUTOINCREMENT.
CREATE TABLE IF NOT EXISTS meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS journal (
    position    INTEGER PRIMARY KEY,
    key         TEXT    NOT NULL UNIQUE,
    source      TEXT    NOT NULL,
    type        TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    channel     TEXT    NOT NULL,
    subject     TEXT    NOT NULL,
    key_id      TEXT    NOT NULL,
    occurred_at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    body        BLOB    NOT NULL
) STRICT;
