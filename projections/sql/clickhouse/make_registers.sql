CREATE TABLE IF NOT EXISTS {registers} (
    subject String, kind {word}, key String, value String {packed}, occurred_at Int64, touchpoint String, version UInt64
) ENGINE = ReplacingMergeTree(version) ORDER BY (subject, kind, key) SETTINGS index_granularity = 256
