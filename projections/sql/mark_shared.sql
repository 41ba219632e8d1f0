-- Of these identifiers, those that so many distinct people claim.
UPDATE identifiers SET shared = 1
WHERE id IN (SELECT value FROM json_each(:ids)) AND :enough <= (
    SELECT count(*) FROM (
        SELECT other.id FROM claims JOIN identifiers AS other ON other.id = claims.greater
        WHERE claims.lesser = identifiers.id AND claims.apart = 0 AND other.type = 'user_id' AND NOT other.blocked
        UNION
        SELECT other.id FROM claims JOIN identifiers AS other ON other.id = claims.lesser
        WHERE claims.greater = identifiers.id AND claims.apart = 0 AND other.type = 'user_id' AND NOT other.blocked
        LIMIT :enough
    )
)
