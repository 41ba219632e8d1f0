-- The last before a time.
SELECT coalesce((SELECT min(seq) - 1 FROM changes WHERE at >= :at), (SELECT seq FROM sqlite_sequence WHERE name = 'changes'), 0)
