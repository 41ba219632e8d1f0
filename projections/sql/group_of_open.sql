SELECT grp FROM identifiers WHERE id = ? AND NOT (shared OR blocked)
