INSERT OR IGNORE INTO destroyed_keys (key_id) VALUES (?);
