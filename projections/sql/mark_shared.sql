UPDATE identifiers SET shared = 1 WHERE id = ?
