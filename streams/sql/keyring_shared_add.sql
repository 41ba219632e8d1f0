-- OR IGNORE: a key that was destroyed stays so.
INSERT OR IGNORE INTO data_keys (key_id, owner, wrapped) VALUES (?, ?, ?);
