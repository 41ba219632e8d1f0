-- Those of these identifiers that were never seen here.
SELECT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM identifiers)
