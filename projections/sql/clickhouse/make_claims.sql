-- What the touchpoints of one subject say: of each pair and strength the earliest claim, how many and when the last.
CREATE TABLE IF NOT EXISTS {claims} (
    subject String, lesser String, greater String, strength UInt8, apart UInt8, own String,
    lesser_type {word}, lesser_value String, greater_type {word}, greater_value String,
    occurred_at Int64, touchpoint String, source {word}, times Int64, last_at Int64, version UInt64
) ENGINE = ReplacingMergeTree(version) ORDER BY (subject, lesser, greater, strength, apart, own)
SETTINGS index_granularity = 256
