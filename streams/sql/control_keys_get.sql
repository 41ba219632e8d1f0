SELECT secret_hash, role, source, channel, origins, created_at, revoked_at FROM access_keys WHERE id = ?;
