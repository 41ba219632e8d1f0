SELECT key_id FROM destroyed_keys ORDER BY key_id;
