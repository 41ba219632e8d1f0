SELECT subject, occurred_at, key, kind, reservation, channel, purpose, tags, campaign, counts, until FROM {contacts}
WHERE subject IN %(subjects)s AND occurred_at >= %(since)s AND {visible}
ORDER BY occurred_at, key, version DESC LIMIT 1 BY subject, occurred_at, key
