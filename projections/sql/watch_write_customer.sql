INSERT OR REPLACE INTO customers (customer, version, members, changed, walk, day, standing, eve, matters, due_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
