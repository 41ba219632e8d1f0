-- An identifier as the touchpoints of one subject carry it.
CREATE TABLE IF NOT EXISTS {identifiers} (
    subject String, id String, type {word}, value String,
    first_seen Int64, last_seen Int64, touchpoints Int64, changed UInt64, version UInt64
) ENGINE = ReplacingMergeTree(version) ORDER BY (subject, id) SETTINGS index_granularity = 256
