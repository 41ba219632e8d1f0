INSERT INTO erasures (number, id, done, said) VALUES (?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET done = excluded.done, said = excluded.said;
