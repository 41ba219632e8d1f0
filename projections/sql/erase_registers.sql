DELETE FROM registers WHERE subject IN (SELECT value FROM json_each(:members))
