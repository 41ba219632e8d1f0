-- Where each touchpoint was first recorded in its part of the journal: of several positions the least stays.
CREATE TABLE IF NOT EXISTS {keys} (
    part UInt16, key String, position UInt64, digest String {packed}, older UInt64 DEFAULT bitNot(position)
) ENGINE = ReplacingMergeTree(older) ORDER BY (part, key) SETTINGS index_granularity = 256
