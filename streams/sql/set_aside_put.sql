-- OR IGNORE: the same key again leaves the item as it was first set aside.
INSERT OR IGNORE INTO set_aside
    (number, key, reason, code, source, channel, route, received_at, sent_at, key_id, raw, inherited)
VALUES (:number, :key, :reason, :code, :source, :channel, :route, :received_at, :sent_at, :key_id, :raw, :inherited);
