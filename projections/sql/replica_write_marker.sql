INSERT INTO markers (part, kind, position, recorded_at) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET position = excluded.position, recorded_at = excluded.recorded_at
WHERE excluded.position > markers.position
