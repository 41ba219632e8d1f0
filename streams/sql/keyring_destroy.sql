DELETE FROM data_keys WHERE owner IN (SELECT value FROM json_each(?)) RETURNING key_id;
