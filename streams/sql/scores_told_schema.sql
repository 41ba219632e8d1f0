-- What the topic of scores says last of each customer: a digest, which is enough to see what has to be told.
CREATE TABLE IF NOT EXISTS scores_told (
    customer TEXT PRIMARY KEY,
    digest   BLOB NOT NULL
) STRICT, WITHOUT ROWID;
