SELECT subject, kind, key, value, occurred_at, touchpoint, version FROM {registers}
WHERE subject IN %(subjects)s
ORDER BY subject, kind, key, version DESC LIMIT 1 BY subject, kind, key
