SELECT replica.build, described.version || '.' || replica.salt, coalesce((SELECT position FROM positions WHERE name = 'erased'), 0)
FROM replica, described
