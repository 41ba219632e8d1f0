INSERT OR REPLACE INTO entries
    (key, subject, occurred_at, recorded_at, position, type, family, channel, source, direction, thread, for_customer, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
