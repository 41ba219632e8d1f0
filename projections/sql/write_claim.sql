INSERT INTO claims (lesser, greater, strength, apart, own, occurred_at, touchpoint, source, times, last_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    times = times + excluded.times,
    last_at = max(last_at, excluded.last_at),
    source = iif((excluded.occurred_at, excluded.touchpoint) < (claims.occurred_at, claims.touchpoint), excluded.source, claims.source),
    touchpoint = iif((excluded.occurred_at, excluded.touchpoint) < (claims.occurred_at, claims.touchpoint), excluded.touchpoint, claims.touchpoint),
    occurred_at = min(claims.occurred_at, excluded.occurred_at)
