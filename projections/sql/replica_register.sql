INSERT INTO registers (subject, kind, key, value, occurred_at, touchpoint, position) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    value = excluded.value, occurred_at = excluded.occurred_at, touchpoint = excluded.touchpoint, position = excluded.position
WHERE excluded.position >= registers.position
