UPDATE identifiers SET shared = 0 WHERE id IN (SELECT value FROM json_each(?))
