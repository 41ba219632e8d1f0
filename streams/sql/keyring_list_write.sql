INSERT INTO destroyed_list (one, id, applied) VALUES (1, ?, ?)
ON CONFLICT DO UPDATE SET id = excluded.id, applied = excluded.applied;
