-- Two processes may follow into one file: it never goes back.
INSERT INTO followed (topic, part, next) VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET next = max(next, excluded.next);
