SELECT count(*) FROM thread_messages WHERE subject IN (SELECT value FROM json_each(?))
