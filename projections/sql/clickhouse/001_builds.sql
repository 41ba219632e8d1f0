-- Which sets of projections there are; the last word on each counts.
CREATE TABLE IF NOT EXISTS builds (build String, dropped UInt8, changed_at UInt64)
ENGINE = ReplacingMergeTree(changed_at) ORDER BY build
