CREATE INDEX entries_by_position ON entries (subject, position)
