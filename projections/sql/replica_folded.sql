-- Of each part of the journal the position up to which every topic was told, and when what stands there was recorded.
SELECT part, min(position), min(recorded_at) FROM markers GROUP BY part HAVING count(*) = :kinds
