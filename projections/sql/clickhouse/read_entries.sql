-- A page below a stamp, newest first: narrow columns tell where it ends, and only then whole rows are read.
SELECT key, subject, occurred_at, recorded_at, position, type, family, channel, source, direction, thread, for_customer, body
FROM {entries}
WHERE subject IN %(subjects)s AND occurred_at <= %(before_at)s
  AND occurred_at >= (SELECT min(occurred_at) FROM (
      SELECT occurred_at, key FROM {entries}
      WHERE subject IN %(subjects)s AND occurred_at <= %(before_at)s
        AND (occurred_at < %(before_at)s OR key < %(before_key)s) AND {wanted} AND {visible}
      ORDER BY occurred_at DESC, key DESC LIMIT 1 BY occurred_at, key LIMIT %(limit)s
  ))
  AND (occurred_at < %(before_at)s OR key < %(before_key)s) AND {wanted} AND {visible}
ORDER BY occurred_at DESC, key DESC, version DESC LIMIT 1 BY occurred_at, key LIMIT %(limit)s
