UPDATE identifiers SET shared = 0 WHERE id = ? AND shared
