-- The last line is repeated to insert several rows at once.
REPLACE INTO scores_told (customer, digest)
VALUES
    (?, ?)
