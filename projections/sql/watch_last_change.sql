SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0)
