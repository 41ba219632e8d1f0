INSERT OR REPLACE INTO counted (customer, rows) VALUES (?, ?)
