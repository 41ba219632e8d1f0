UPDATE identifiers SET changed = :changed WHERE id IN (SELECT value FROM json_each(:ids))
