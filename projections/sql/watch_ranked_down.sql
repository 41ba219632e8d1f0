SELECT value, customer FROM ranked
WHERE score = :score AND tier = :tier AND (value < :value OR value = :value AND customer > :customer)
ORDER BY value DESC, customer LIMIT :limit
