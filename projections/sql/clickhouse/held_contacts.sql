SELECT subject, occurred_at, key, kind, reservation, channel, purpose, tags, campaign, counts, until, version FROM {contacts}
WHERE subject IN %(subjects)s
ORDER BY subject, occurred_at, key, version DESC LIMIT 1 BY subject, occurred_at, key
