INSERT INTO followed_at (one, in_step) VALUES (1, ?) ON CONFLICT DO UPDATE SET in_step = max(in_step, excluded.in_step);
