SELECT key, subject, occurred_at, recorded_at, position, type, family, channel, source, direction, thread, for_customer, body
FROM {entries}
WHERE subject IN %(subjects)s
  AND has(%(parts)s, bitAnd(position, 1023)) AND position > arrayElement(%(after)s, toUInt32(bitAnd(position, 1023)) + 1)
  AND {wanted} AND {visible}
ORDER BY position, version DESC LIMIT 1 BY subject, position LIMIT %(limit)s
