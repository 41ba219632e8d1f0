-- Of those under whom something was recorded.
SELECT id, first_seen FROM identifiers WHERE id IN (SELECT value FROM json_each(?)) AND touchpoints > 0
