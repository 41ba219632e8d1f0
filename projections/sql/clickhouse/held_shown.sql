-- Entries that the customer may see.
SELECT subject, key, occurred_at, recorded_at, position, type, family, channel, source, direction, thread, body, version
FROM {entries}
WHERE subject IN %(subjects)s AND for_customer
ORDER BY subject, occurred_at, key, version DESC LIMIT 1 BY subject, occurred_at, key
