SELECT subject, thread, occurred_at, key, role, public, channel, agent, team, purpose, closes FROM {thread_messages}
WHERE subject IN %(subjects)s AND {visible}
ORDER BY thread, occurred_at, key, version DESC LIMIT 1 BY subject, thread, occurred_at, key
