SELECT key_id, owner FROM data_keys WHERE owner IN (SELECT value FROM json_each(?)) ORDER BY key_id;
