SELECT position, text, hash FROM audit ORDER BY position DESC LIMIT 1;
