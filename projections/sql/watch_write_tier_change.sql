INSERT OR REPLACE INTO tier_changes (customer, day, score, tier, before, after) VALUES (?, ?, ?, ?, ?, ?)
