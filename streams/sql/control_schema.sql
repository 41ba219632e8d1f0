CREATE TABLE IF NOT EXISTS access_keys (
    id          TEXT PRIMARY KEY,
    secret_hash TEXT NOT NULL UNIQUE,
    role        TEXT NOT NULL,
    source      TEXT NOT NULL,
    channel     TEXT,
    origins     TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    revoked_at  INTEGER,
    name        TEXT
) STRICT;

-- AUTOINCREMENT: a number is never given twice, so a cursor stays true while items leave.
CREATE TABLE IF NOT EXISTS set_aside (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    key         TEXT NOT NULL UNIQUE,
    reason      TEXT NOT NULL,
    code        TEXT NOT NULL,
    source      TEXT NOT NULL,
    channel     TEXT,
    route       TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    sent_at     INTEGER,
    key_id      TEXT NOT NULL,
    raw         BLOB NOT NULL,
    inherited   BLOB NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS set_aside_by_source ON set_aside (source, number);
CREATE INDEX IF NOT EXISTS set_aside_by_time ON set_aside (received_at);
CREATE INDEX IF NOT EXISTS set_aside_by_reason ON set_aside (source, code, reason, received_at);
