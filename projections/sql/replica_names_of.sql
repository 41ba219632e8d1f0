SELECT DISTINCT subject, key FROM search WHERE subject IN (SELECT value FROM json_each(:subjects))
