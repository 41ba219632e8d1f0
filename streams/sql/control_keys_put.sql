-- The first time stands when a key was revoked twice.
INSERT INTO access_keys (id, secret_hash, role, source, channel, origins, created_at, revoked_at, name)
VALUES (:id, :secret_hash, :role, :source, :channel, :origins, :created_at, :revoked_at, :name)
ON CONFLICT (id) DO UPDATE SET
    revoked_at = min(coalesce(revoked_at, excluded.revoked_at), coalesce(excluded.revoked_at, revoked_at));
