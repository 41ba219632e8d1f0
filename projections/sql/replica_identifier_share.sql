INSERT OR REPLACE INTO identifier_shares (id, subject, first_seen, last_seen, touchpoints, position)
VALUES (?, ?, ?, ?, ?, ?)
