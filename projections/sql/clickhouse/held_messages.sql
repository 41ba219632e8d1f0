SELECT subject, thread, occurred_at, key, role, public, channel, agent, team, purpose, closes, version FROM {thread_messages}
WHERE subject IN %(subjects)s
ORDER BY subject, thread, occurred_at, key, version DESC LIMIT 1 BY subject, thread, occurred_at, key
