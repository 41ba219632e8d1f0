INSERT OR IGNORE INTO pending (subject, position) VALUES (?, ?)
