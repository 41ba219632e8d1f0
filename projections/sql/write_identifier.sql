INSERT INTO identifiers (id, type, value, first_seen, last_seen, touchpoints, changed, grp, shared, blocked)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    first_seen = min(first_seen, excluded.first_seen),
    last_seen = max(last_seen, excluded.last_seen),
    touchpoints = touchpoints + excluded.touchpoints,
    changed = max(changed, excluded.changed)
