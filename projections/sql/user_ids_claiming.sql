SELECT count(*) FROM (
    SELECT other.id FROM claims JOIN identifiers AS other ON other.id = claims.greater
    WHERE claims.lesser = :id AND claims.apart = 0 AND other.type = 'user_id' AND NOT other.blocked
    UNION
    SELECT other.id FROM claims JOIN identifiers AS other ON other.id = claims.lesser
    WHERE claims.greater = :id AND claims.apart = 0 AND other.type = 'user_id' AND NOT other.blocked
    LIMIT :enough
)
