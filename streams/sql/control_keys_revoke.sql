-- The first time stands when a key is revoked again.
UPDATE access_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?;
