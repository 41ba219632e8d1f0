SELECT customer, due_at, changed FROM customers WHERE due_at <= ? ORDER BY due_at, customer LIMIT ?
