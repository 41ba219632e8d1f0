INSERT INTO replica (build, salt) VALUES (?, ?)
