SELECT key, subject, occurred_at, recorded_at, position, type, family, channel, source, direction, thread, for_customer, body
FROM entries
WHERE subject = :subject AND (occurred_at, key) < (:before_at, :before_key)
  AND occurred_at >= :from_at AND occurred_at < :to_at
  AND (:channels IS NULL OR channel IN (SELECT value FROM json_each(:channels)))
  AND (:families IS NULL OR family IN (SELECT value FROM json_each(:families)))
  AND (:types IS NULL OR type IN (SELECT value FROM json_each(:types)))
  AND (:hidden IS NULL OR type NOT IN (SELECT value FROM json_each(:hidden)))
  AND (:thread IS NULL OR thread = :thread)
  AND (:direction IS NULL OR direction = :direction)
  AND (for_customer OR NOT :customer_only)
ORDER BY occurred_at DESC, key DESC
