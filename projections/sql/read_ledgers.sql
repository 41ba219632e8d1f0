SELECT subject, signal, day, count, total FROM ledger WHERE subject IN (SELECT value FROM json_each(?))
