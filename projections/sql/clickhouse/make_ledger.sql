-- A row holds the whole day of a subject, so that it is written all at once or not at all.
CREATE TABLE IF NOT EXISTS {ledger} (
    subject String, day Int32, signals Array({word}), counts Array(Int64), totals Array(Int64), version UInt64
) ENGINE = ReplacingMergeTree(version) ORDER BY (subject, day) SETTINGS index_granularity = 256
