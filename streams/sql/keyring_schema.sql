CREATE TABLE IF NOT EXISTS identity_key (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    key_id  TEXT NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS data_keys (
    key_id  TEXT PRIMARY KEY,
    owner   TEXT NOT NULL,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS data_keys_by_owner ON data_keys (owner);

-- Names of keys only, never whose they were.
CREATE TABLE IF NOT EXISTS destroyed_keys (
    key_id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
