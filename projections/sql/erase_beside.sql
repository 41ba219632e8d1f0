-- Those outside a group that claims tie to it: shared or blocked ones, and those an agent keeps apart.
SELECT side FROM (
    SELECT lesser AS side FROM claims WHERE greater IN (SELECT value FROM json_each(:group))
    UNION
    SELECT greater FROM claims WHERE lesser IN (SELECT value FROM json_each(:group))
)
WHERE side NOT IN (SELECT value FROM json_each(:group))
