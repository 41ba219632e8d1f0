SELECT subject, occurred_at, key, kind, reservation, channel, purpose, tags, campaign, counts, until FROM contacts
WHERE subject IN (SELECT value FROM json_each(:subjects)) AND occurred_at >= :since
ORDER BY occurred_at, key
