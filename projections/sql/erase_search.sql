DELETE FROM search WHERE subject IN (SELECT value FROM json_each(:members))
