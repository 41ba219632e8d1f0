DELETE FROM identifiers WHERE id IN (SELECT value FROM json_each(:group))
