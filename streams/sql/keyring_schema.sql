CREATE TABLE IF NOT EXISTS identity_key (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    key_id  TEXT NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;

-- Rows are only ever appended, and overwritten in place by as many bytes: so SQLite never moves one to another page, and
-- nothing of a key stays behind where it once lay. A destroyed key keeps its name; its owner is dashes.
CREATE TABLE IF NOT EXISTS data_keys (
    number  INTEGER PRIMARY KEY,
    key_id  TEXT NOT NULL UNIQUE,
    owner   TEXT NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS data_keys_by_owner ON data_keys (owner);

-- Up to which place of which list of destroyed keys this keyring has lost them.
CREATE TABLE IF NOT EXISTS destroyed_list (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    id      TEXT NOT NULL,
    applied INTEGER NOT NULL
) STRICT;
