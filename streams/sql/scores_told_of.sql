SELECT customer, digest FROM scores_told WHERE customer IN (SELECT value FROM json_each(?));
