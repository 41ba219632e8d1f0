-- How far each part of the journal was written here.
CREATE TABLE IF NOT EXISTS {positions} (part UInt16, position UInt64, recorded_at Int64)
ENGINE = ReplacingMergeTree(position) ORDER BY part
