SELECT id, grp FROM identifiers WHERE id IN (SELECT value FROM json_each(?)) AND NOT (shared OR blocked)
