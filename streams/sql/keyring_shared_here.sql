SELECT key_id, owner, wrapped FROM data_keys WHERE key_id IN (SELECT value FROM json_each(?)) AND owner NOT GLOB '-*';
