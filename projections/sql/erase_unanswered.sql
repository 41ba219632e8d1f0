DELETE FROM unanswered WHERE subject IN (SELECT value FROM json_each(:members))
