DELETE FROM contacts WHERE subject IN (SELECT value FROM json_each(:members))
