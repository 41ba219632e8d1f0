INSERT OR REPLACE INTO stays (customer, place, stage, stayed) VALUES (?, ?, ?, ?)
