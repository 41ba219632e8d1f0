SELECT kind, key, value, occurred_at, touchpoint FROM {registers}
WHERE subject IN %(subjects)s AND {visible}
ORDER BY subject, kind, key, version DESC LIMIT 1 BY subject, kind, key
