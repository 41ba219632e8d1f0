SELECT i.type || ':' || i.value, r.kind, r.key, r.value, r.occurred_at, r.touchpoint
FROM registers AS r JOIN identifiers AS i ON i.id = r.subject
UNION ALL
SELECT i.type || ':' || i.value, 'message in ' || m.thread, m.key, m.role || ' on ' || m.channel, m.occurred_at, m.public
FROM thread_messages AS m JOIN identifiers AS i ON i.id = m.subject
ORDER BY 1, 2, 3
