INSERT OR REPLACE INTO claim_shares
    (subject, lesser, greater, strength, apart, own, occurred_at, touchpoint, source, times, last_at, position)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
