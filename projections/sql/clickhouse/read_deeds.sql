-- What each touchpoint counted: in the one spelling of a body `signals` is what it ends with.
SELECT occurred_at, key, extract(body, '(?s)^.*"signals":(.*)\\}}$') FROM {entries}
WHERE subject IN %(subjects)s AND {wanted} AND {visible}
ORDER BY occurred_at DESC, key DESC, version DESC LIMIT 1 BY occurred_at, key
