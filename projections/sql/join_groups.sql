UPDATE identifiers SET grp = :kept WHERE grp = :joined
