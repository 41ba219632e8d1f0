SELECT i.type || ':' || i.value, r.kind, r.key, r.value, r.occurred_at, r.touchpoint
FROM registers AS r JOIN identifiers AS i ON i.id = r.subject
UNION ALL
SELECT i.type || ':' || i.value, 'message in ' || m.thread, m.key,
       m.role || ' on ' || m.channel || coalesce(' by ' || m.agent, '') || coalesce(' of ' || m.team, '')
           || coalesce(' for ' || m.purpose, '') || CASE WHEN m.closes THEN ', the last' ELSE '' END,
       m.occurred_at, m.public
FROM thread_messages AS m JOIN identifiers AS i ON i.id = m.subject
UNION ALL
SELECT i.type || ':' || i.value, 'contact ' || c.kind, c.key,
       coalesce(c.reservation, '') || ' on ' || c.channel || coalesce(' for ' || c.purpose, '') || ' ' || c.tags
           || coalesce(' of ' || c.campaign, '') || coalesce(' until ' || c.until, ''),
       c.occurred_at, c.counts
FROM contacts AS c JOIN identifiers AS i ON i.id = c.subject
ORDER BY 1, 2, 3
