SELECT secret_hash, id, role, source, channel, origins, created_at, revoked_at, name FROM access_keys
ORDER BY created_at, id;
