SELECT position, recorded_at FROM journal ORDER BY position DESC LIMIT 1;
