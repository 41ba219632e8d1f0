SELECT customer, version, members, changed, walk, day, standing, eve, matters, due_at FROM customers
WHERE walk <> ? LIMIT ?
