SELECT i.type || ':' || i.value, l.signal, l.day, l.count, l.total
FROM ledger AS l JOIN identifiers AS i ON i.id = l.subject ORDER BY 1, 2, 3
