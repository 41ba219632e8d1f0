SELECT customer, version, members, changed, walk, day, standing, eve, matters, due_at FROM customers
WHERE customer > ? ORDER BY customer LIMIT ?
