-- Of these subjects nobody sees a row that stands before the position; what is written late stays unseen for ever.
CREATE TABLE IF NOT EXISTS {erasures} (subject String, position UInt64)
ENGINE = ReplacingMergeTree(position) ORDER BY subject SETTINGS index_granularity = 256
