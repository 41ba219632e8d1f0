DELETE FROM identifiers
WHERE id = :id AND touchpoints = 0 AND NOT EXISTS (SELECT 1 FROM claims WHERE lesser = :id OR greater = :id)
