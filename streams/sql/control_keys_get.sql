SELECT secret_hash, role, source, channel, origins, created_at, name, revoked_at FROM access_keys WHERE id = ?;
