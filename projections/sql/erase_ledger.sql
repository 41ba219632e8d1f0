DELETE FROM ledger WHERE subject IN (SELECT value FROM json_each(:members))
