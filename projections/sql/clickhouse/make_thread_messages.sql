CREATE TABLE IF NOT EXISTS {thread_messages} (
    subject String, thread String, occurred_at Int64, key String, role {word}, public UInt8, channel {word},
    agent Nullable(String), team Nullable(String), purpose Nullable(String), closes UInt8, version UInt64
) ENGINE = ReplacingMergeTree(version) ORDER BY (subject, thread, occurred_at, key) SETTINGS index_granularity = 256
