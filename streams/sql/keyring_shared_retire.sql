INSERT OR IGNORE INTO retired_keys (key_id) SELECT value FROM json_each(?);
