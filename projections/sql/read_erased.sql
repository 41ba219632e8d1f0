SELECT name, position FROM positions WHERE name IN (SELECT 'erased:' || value FROM json_each(?)) ORDER BY name
