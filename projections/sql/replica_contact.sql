INSERT INTO contacts
    (subject, occurred_at, key, kind, reservation, channel, purpose, tags, campaign, counts, until, position)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    kind = excluded.kind, reservation = excluded.reservation, channel = excluded.channel, purpose = excluded.purpose,
    tags = excluded.tags, campaign = excluded.campaign, counts = excluded.counts, until = excluded.until,
    position = excluded.position
WHERE excluded.position >= contacts.position
