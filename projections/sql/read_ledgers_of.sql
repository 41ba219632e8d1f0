-- Of each of these subjects its rows of these signals, in their order.
SELECT subject, signal, day, count, total FROM ledger
WHERE subject IN (SELECT value FROM json_each(:subjects)) AND signal IN (SELECT value FROM json_each(:signals))
ORDER BY subject, signal, day
