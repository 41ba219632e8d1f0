DELETE FROM counted WHERE customer IN (VALUES (?))
