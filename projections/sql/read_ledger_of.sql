-- A subject's rows of these signals, a JSON list, and of those whose names begin as asked; no row stands in both.
SELECT signal, day, count, total FROM ledger
WHERE subject = :subject AND signal IN (SELECT value FROM json_each(:signals))
UNION ALL
SELECT signal, day, count, total FROM ledger
WHERE subject = :subject AND signal >= :beginning AND signal < :end
