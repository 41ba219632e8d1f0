SELECT number, key, reason, code, source, channel, route, received_at, sent_at, key_id, raw, inherited
FROM set_aside WHERE key = ?;
