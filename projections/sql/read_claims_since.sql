-- The claims of these identifiers of which the other side was touched after a position, both sides in clear.
WITH asked AS MATERIALIZED (SELECT value AS id FROM json_each(:ids))
SELECT lesser.type, lesser.value, greater.type, greater.value, strength, apart, occurred_at, touchpoint, source,
       lesser.shared, greater.shared
FROM asked CROSS JOIN claims ON claims.lesser = asked.id
    CROSS JOIN identifiers AS greater ON greater.id = claims.greater AND greater.changed > :after
    CROSS JOIN identifiers AS lesser ON lesser.id = claims.lesser
UNION ALL
SELECT lesser.type, lesser.value, greater.type, greater.value, strength, apart, occurred_at, touchpoint, source,
       lesser.shared, greater.shared
FROM asked CROSS JOIN claims ON claims.greater = asked.id
    CROSS JOIN identifiers AS lesser ON lesser.id = claims.lesser AND lesser.changed > :after
    CROSS JOIN identifiers AS greater ON greater.id = claims.greater
