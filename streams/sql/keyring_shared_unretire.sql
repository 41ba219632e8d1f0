DELETE FROM retired_keys WHERE key_id IN (SELECT value FROM json_each(?));
