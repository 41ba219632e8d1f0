INSERT INTO thread_messages
    (subject, thread, occurred_at, key, role, public, channel, agent, team, purpose, closes, position)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    role = excluded.role, public = excluded.public, channel = excluded.channel, agent = excluded.agent,
    team = excluded.team, purpose = excluded.purpose, closes = excluded.closes, position = excluded.position
WHERE excluded.position >= thread_messages.position
