-- Walks all groups in the order of their index, so that a page costs as much at the end as at the beginning.
SELECT id, type, value, first_seen, last_seen, touchpoints, changed, grp, shared OR blocked FROM identifiers
WHERE grp IN (SELECT DISTINCT grp FROM identifiers WHERE grp > ? ORDER BY grp LIMIT ?)
ORDER BY grp, id
