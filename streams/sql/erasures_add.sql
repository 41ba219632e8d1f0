INSERT INTO erasures (id, done, said) VALUES (?, 0, ?);
