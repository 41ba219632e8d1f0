-- Where we spoke to him, were about to, or did not after all; `tags` is a JSON list.
CREATE TABLE IF NOT EXISTS {contacts} (
    subject String, occurred_at Int64, key String, kind {word}, reservation Nullable(String), channel {word},
    purpose Nullable(String), tags String, campaign Nullable(String), counts Nullable(UInt8), until Nullable(Int64),
    version UInt64
) ENGINE = ReplacingMergeTree(version) ORDER BY (subject, occurred_at, key) SETTINGS index_granularity = 256
