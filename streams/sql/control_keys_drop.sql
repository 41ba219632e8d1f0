DELETE FROM access_keys WHERE id = ?;
