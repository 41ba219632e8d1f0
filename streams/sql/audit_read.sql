SELECT position, text, hash FROM audit WHERE position > ? ORDER BY position LIMIT ?;
