-- `said`: the receipt as far as it is known, JSON; it names nobody but by permanent ids.
CREATE TABLE IF NOT EXISTS erasures (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id     TEXT NOT NULL UNIQUE,
    done   INTEGER NOT NULL,
    said   TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS erased_members (
    member TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (member, number)
) STRICT, WITHOUT ROWID;
