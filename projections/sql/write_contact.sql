INSERT OR REPLACE INTO contacts
    (subject, occurred_at, key, kind, reservation, channel, purpose, tags, campaign, counts, until)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
