DELETE FROM changes WHERE customer IN (VALUES (?))
