SELECT customer, version, members, changed, walk, day, standing, eve, matters, due_at, rows
FROM customers JOIN counted USING (customer)
WHERE walk <> ? LIMIT ?
