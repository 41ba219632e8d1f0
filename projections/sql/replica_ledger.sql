INSERT INTO ledger (subject, signal, day, count, total, position) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET count = excluded.count, total = excluded.total, position = excluded.position
WHERE excluded.position >= ledger.position
