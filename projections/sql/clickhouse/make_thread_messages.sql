CREATE TABLE IF NOT EXISTS {thread_messages} (
    subject String, thread String, occurred_at Int64, key String, role {word}, public UInt8, channel {word}, version UInt64
) ENGINE = ReplacingMergeTree(version) ORDER BY (subject, thread, occurred_at, key) SETTINGS index_granularity = 256
