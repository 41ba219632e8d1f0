INSERT INTO search (subject, key, term) VALUES (?, ?, ?)
