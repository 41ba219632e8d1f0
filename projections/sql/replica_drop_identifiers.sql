-- Those of these identifiers that nobody names any more.
DELETE FROM identifiers
WHERE id IN (SELECT value FROM json_each(?)) AND id NOT IN (SELECT id FROM identifier_shares)
