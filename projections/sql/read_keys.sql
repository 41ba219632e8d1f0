SELECT key FROM entries WHERE subject IN (SELECT value FROM json_each(?))
