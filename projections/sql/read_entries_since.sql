SELECT key, subject, occurred_at, recorded_at, position, type, family, channel, source, direction, thread, for_customer, body
FROM entries
WHERE subject = :subject AND position > :after
  AND occurred_at >= :from_at AND occurred_at < :to_at
  AND (:channel IS NULL OR channel = :channel)
  AND (:family IS NULL OR family = :family)
  AND (:type IS NULL OR type = :type)
  AND (:thread IS NULL OR thread = :thread)
  AND (:direction IS NULL OR direction = :direction)
  AND (for_customer OR NOT :customer_only)
ORDER BY position
LIMIT :limit
