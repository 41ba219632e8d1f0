-- The last line is repeated to insert several rows at once.
INSERT INTO journal
    (position, key, source, type, version, channel, subject, key_id, occurred_at, recorded_at, body)
VALUES
    (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
