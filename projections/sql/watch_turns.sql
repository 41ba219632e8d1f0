SELECT * FROM turns
WHERE opened_at >= :from_at AND opened_at < :to_at AND (opened_at, opening) > (:after_at, :after)
ORDER BY opened_at, opening
