-- Without an index: one would be written for every touchpoint, and this is asked where memory does not know.
SELECT id FROM identifiers WHERE changed > :position LIMIT :limit
