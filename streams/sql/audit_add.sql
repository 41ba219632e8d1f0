INSERT INTO audit (position, text, hash) VALUES (?, ?, ?);
