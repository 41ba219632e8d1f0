INSERT INTO registers (subject, kind, key, value, occurred_at, touchpoint) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET value = excluded.value, occurred_at = excluded.occurred_at, touchpoint = excluded.touchpoint
WHERE (excluded.occurred_at, excluded.touchpoint) > (registers.occurred_at, registers.touchpoint)
