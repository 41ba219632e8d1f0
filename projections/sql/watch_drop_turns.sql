DELETE FROM turns WHERE customer IN (VALUES (?))
