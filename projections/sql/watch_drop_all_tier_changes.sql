DELETE FROM tier_changes WHERE customer IN (VALUES (?))
