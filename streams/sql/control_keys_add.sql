INSERT INTO access_keys (id, secret_hash, role, source, channel, origins, created_at, name)
VALUES (?, ?, ?, ?, ?, ?, ?, ?);
