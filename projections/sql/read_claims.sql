-- The claims that touch any of these identifiers, with both sides in clear.
SELECT lesser.type, lesser.value, greater.type, greater.value, strength, apart, occurred_at, touchpoint, source,
       lesser.shared, greater.shared
FROM claims JOIN identifiers AS lesser ON lesser.id = claims.lesser JOIN identifiers AS greater ON greater.id = claims.greater
WHERE claims.lesser IN (SELECT value FROM json_each(:ids)) OR claims.greater IN (SELECT value FROM json_each(:ids))
LIMIT :limit
