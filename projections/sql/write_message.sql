INSERT OR REPLACE INTO thread_messages
    (subject, thread, occurred_at, key, role, public, channel, agent, team, purpose, closes)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
