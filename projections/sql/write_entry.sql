INSERT OR REPLACE INTO entries
    (subject, occurred_at, key, position, recorded_at, type, family, channel, source, direction, thread, for_customer, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
