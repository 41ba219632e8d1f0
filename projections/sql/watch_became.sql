SELECT customer, day, score, before, after FROM tier_changes
WHERE score = :score AND tier = :tier AND day >= :since
ORDER BY day DESC, customer LIMIT :limit
