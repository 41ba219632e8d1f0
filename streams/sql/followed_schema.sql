-- How far the topics were read, committed with what was read.
CREATE TABLE IF NOT EXISTS followed (
    topic TEXT NOT NULL,
    part  INTEGER NOT NULL,
    next  INTEGER NOT NULL,
    PRIMARY KEY (topic, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS followed_at (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    in_step INTEGER NOT NULL
) STRICT;
