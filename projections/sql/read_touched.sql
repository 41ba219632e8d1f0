SELECT id FROM identifiers WHERE grp = :group AND changed > :after LIMIT :limit
