-- `version` is the position the row stands at: that of its record, or of the erasure that emptied it.
CREATE TABLE IF NOT EXISTS {entries} (
    key String, subject String, occurred_at Int64, recorded_at Int64, position UInt64,
    type {word}, family {word}, channel {word}, source {word}, direction {word},
    thread Nullable(String), for_customer UInt8, body String {packed}, version UInt64{by_time}
) ENGINE = ReplacingMergeTree(version) ORDER BY (subject, occurred_at, key) SETTINGS index_granularity = 256
