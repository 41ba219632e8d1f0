-- A page above a stamp, oldest first: narrow columns tell where it ends, and only then whole rows are read.
SELECT key, subject, occurred_at, recorded_at, position, type, family, channel, source, direction, thread, for_customer, body
FROM {entries}
WHERE subject IN %(subjects)s AND occurred_at >= %(after_at)s
  AND occurred_at <= (SELECT max(occurred_at) FROM (
      SELECT occurred_at, key FROM {entries}
      WHERE subject IN %(subjects)s AND occurred_at >= %(after_at)s
        AND (occurred_at > %(after_at)s OR key > %(after_key)s) AND {wanted} AND {visible}
      ORDER BY occurred_at, key LIMIT 1 BY occurred_at, key LIMIT %(limit)s
  ))
  AND (occurred_at > %(after_at)s OR key > %(after_key)s) AND {wanted} AND {visible}
ORDER BY occurred_at, key, version DESC LIMIT 1 BY occurred_at, key LIMIT %(limit)s
