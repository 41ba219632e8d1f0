DELETE FROM stays WHERE customer IN (VALUES (?))
