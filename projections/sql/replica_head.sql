INSERT INTO heads (subject, occurred_at, key, type, topic, position) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET type = excluded.type, topic = excluded.topic, position = excluded.position
WHERE excluded.position >= heads.position
