UPDATE identifiers SET grp = id WHERE grp IN (SELECT value FROM json_each(?))
