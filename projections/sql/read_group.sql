SELECT id, type, value, first_seen, last_seen, touchpoints, changed, grp, shared OR blocked FROM identifiers
WHERE grp = (SELECT grp FROM identifiers WHERE id = ?)
