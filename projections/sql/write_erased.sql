-- The position of the last erasure, of all (`erased`) and of one identifier (`erased:<id>`).
INSERT INTO positions (name, position) VALUES (?, ?) ON CONFLICT DO UPDATE SET position = excluded.position
