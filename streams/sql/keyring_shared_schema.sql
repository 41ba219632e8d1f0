-- Keys that seal nothing any more, and still open what they sealed. Gone from here when the key is.
CREATE TABLE IF NOT EXISTS retired_keys (key_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
