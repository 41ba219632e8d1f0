-- The sides of what agents decided in touchpoints recorded under these subjects: they need be none of them.
WITH decisions AS MATERIALIZED (
    SELECT key FROM entries
    WHERE subject IN (SELECT value FROM json_each(:members)) AND type IN ('link', 'unlink')
)
SELECT lesser FROM claims WHERE EXISTS (SELECT 1 FROM decisions) AND own <> '' AND own IN (SELECT key FROM decisions)
UNION
SELECT greater FROM claims WHERE EXISTS (SELECT 1 FROM decisions) AND own <> '' AND own IN (SELECT key FROM decisions)
