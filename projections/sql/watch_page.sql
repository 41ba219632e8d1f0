SELECT customer, version, day, standing, eve, matters, rows FROM customers JOIN counted USING (customer)
WHERE customer > ? ORDER BY customer LIMIT ?
