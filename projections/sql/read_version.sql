SELECT version, coalesce((SELECT position FROM positions WHERE name = 'erased'), 0) FROM described
