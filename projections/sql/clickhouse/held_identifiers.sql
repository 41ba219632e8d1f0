SELECT subject, id, type, value, first_seen, last_seen, touchpoints, changed, version FROM {identifiers}
WHERE subject IN %(subjects)s
ORDER BY subject, id, version DESC LIMIT 1 BY subject, id
