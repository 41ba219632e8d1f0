-- Of each of these subjects the latest values of its registers of these kinds.
SELECT subject, kind, key, value, occurred_at, touchpoint FROM registers
WHERE subject IN (SELECT value FROM json_each(:subjects)) AND kind IN (SELECT value FROM json_each(:kinds))
