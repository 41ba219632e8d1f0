SELECT position, key, source, type, version, channel, subject, key_id, occurred_at, recorded_at, body
FROM journal WHERE position > ? ORDER BY position LIMIT ?;
