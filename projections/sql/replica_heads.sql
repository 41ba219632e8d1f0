SELECT occurred_at, key, type, topic FROM heads
WHERE subject IN (SELECT value FROM json_each(:subjects))
ORDER BY occurred_at DESC, key DESC LIMIT :limit
