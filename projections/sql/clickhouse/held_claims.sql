SELECT subject, lesser, greater, strength, apart, own, lesser_type, lesser_value, greater_type, greater_value,
       occurred_at, touchpoint, source, times, last_at, version
FROM {claims}
WHERE subject IN %(subjects)s
ORDER BY subject, lesser, greater, strength, apart, own, version DESC
LIMIT 1 BY subject, lesser, greater, strength, apart, own
