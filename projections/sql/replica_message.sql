INSERT INTO thread_messages (subject, thread, occurred_at, key, role, public, channel, position) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    role = excluded.role, public = excluded.public, channel = excluded.channel, position = excluded.position
WHERE excluded.position >= thread_messages.position
