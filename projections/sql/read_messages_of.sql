SELECT subject, thread, occurred_at, key, role, public, channel, agent, team, purpose, closes FROM thread_messages
WHERE subject IN (SELECT value FROM json_each(:subjects)) AND thread IN (SELECT value FROM json_each(:threads))
ORDER BY thread, occurred_at, key
