INSERT OR REPLACE INTO ranked (score, tier, value, customer) VALUES (?, ?, ?, ?)
