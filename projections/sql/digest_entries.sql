SELECT coalesce(i.type || ':' || i.value, ''), e.occurred_at, e.key, e.type, e.family, e.channel, e.source, e.direction, e.thread,
       e.for_customer, e.body
FROM entries AS e LEFT JOIN identifiers AS i ON i.id = e.subject
ORDER BY 1, 2, 3
