SELECT customer, day, score, before, after FROM tier_changes
WHERE day = :day AND (customer, score) > (:customer, :score)
ORDER BY customer, score LIMIT :limit
