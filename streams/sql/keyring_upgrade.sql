-- A keyring of version 0.1: keys in a table whose rows moved, and the destroyed ones' names in another.
ALTER TABLE data_keys RENAME TO data_keys_before;
DROP INDEX data_keys_by_owner;
CREATE TABLE data_keys (
    number  INTEGER PRIMARY KEY,
    key_id  TEXT NOT NULL UNIQUE,
    owner   TEXT NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;
INSERT INTO data_keys (key_id, owner, wrapped) SELECT key_id, owner, wrapped FROM data_keys_before;
INSERT INTO data_keys (key_id, owner, wrapped) SELECT key_id, '-', x'' FROM destroyed_keys;
DROP TABLE data_keys_before;
DROP TABLE destroyed_keys;
