SELECT value, customer FROM ranked
WHERE score = :score AND tier = :tier AND (value, customer) > (:value, :customer)
ORDER BY value, customer LIMIT :limit
