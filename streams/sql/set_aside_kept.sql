SELECT key FROM set_aside WHERE key IN (SELECT value FROM json_each(?));
