-- Which numbered files were applied to this database.
CREATE TABLE IF NOT EXISTS migrations (number UInt32, applied_at Int64) ENGINE = MergeTree ORDER BY number
