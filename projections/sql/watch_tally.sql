INSERT INTO tallies (score, tier, customers) VALUES (?, ?, ?)
ON CONFLICT (score, tier) DO UPDATE SET customers = customers + excluded.customers
