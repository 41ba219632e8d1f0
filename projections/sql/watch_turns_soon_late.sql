SELECT * FROM turns INDEXED BY turns_open
WHERE replied_at IS NULL AND late_at IS NOT NULL AND late_at >= ?
ORDER BY late_at, opening LIMIT ?
