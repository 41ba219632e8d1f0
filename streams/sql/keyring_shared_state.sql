SELECT key_id, owner GLOB '-*' FROM data_keys WHERE key_id IN (SELECT value FROM json_each(?));
