CREATE INDEX entries_by_position ON entries (subject, position);
CREATE INDEX cases ON registers (key COLLATE NOCASE) WHERE kind IN ('case', 'case_opened', 'case_stage');
CREATE INDEX search_by_term ON search (term);
CREATE INDEX unanswered_by_time ON unanswered (occurred_at, key);
CREATE INDEX identifiers_by_value ON identifiers (value COLLATE NOCASE)
