SELECT id, type, value, first_seen, last_seen, touchpoints, changed, grp, shared OR blocked FROM identifiers
WHERE id IN (SELECT value FROM json_each(?))
