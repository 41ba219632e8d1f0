INSERT INTO changes (at, sure, customer, body) VALUES (?, ?, ?, ?)
