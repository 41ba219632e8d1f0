-- Pairs that somebody claimed to be one person, one of these identifiers among them.
WITH asked AS MATERIALIZED (SELECT value AS id FROM json_each(?))
SELECT lesser, greater FROM asked CROSS JOIN claims ON claims.lesser = asked.id WHERE apart = 0
UNION
SELECT lesser, greater FROM asked CROSS JOIN claims ON claims.greater = asked.id WHERE apart = 0
