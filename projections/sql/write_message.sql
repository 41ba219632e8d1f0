INSERT OR REPLACE INTO thread_messages (subject, thread, occurred_at, key, role, public, channel)
VALUES (?, ?, ?, ?, ?, ?, ?)
