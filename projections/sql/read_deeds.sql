-- What each touchpoint of these subjects counted, without the rest of it.
SELECT key, occurred_at, json_extract(body, '$.signals') FROM entries
WHERE subject IN (SELECT value FROM json_each(:subjects)) AND occurred_at < :to_at
ORDER BY occurred_at DESC, key DESC
