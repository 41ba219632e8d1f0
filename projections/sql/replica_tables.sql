-- Beside the tables of every store: at which position of the journal each row stands, what each subject's touchpoints
-- said of identifiers and claims that others speak of too, and how far the topics were read.
ALTER TABLE ledger ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registers ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
ALTER TABLE thread_messages ADD COLUMN position INTEGER NOT NULL DEFAULT 0;
ALTER TABLE contacts ADD COLUMN position INTEGER NOT NULL DEFAULT 0;

CREATE TABLE identifier_shares (
    id TEXT NOT NULL, subject TEXT NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, touchpoints INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (id, subject)
) WITHOUT ROWID;
CREATE INDEX identifier_shares_by_subject ON identifier_shares (subject);

CREATE TABLE claim_shares (
    lesser TEXT NOT NULL, greater TEXT NOT NULL, strength INTEGER NOT NULL, apart INTEGER NOT NULL, own TEXT NOT NULL,
    subject TEXT NOT NULL,
    occurred_at INTEGER NOT NULL, touchpoint TEXT NOT NULL, source TEXT NOT NULL,
    times INTEGER NOT NULL, last_at INTEGER NOT NULL, position INTEGER NOT NULL,
    PRIMARY KEY (lesser, greater, strength, apart, own, subject)
) WITHOUT ROWID;
CREATE INDEX claim_shares_by_subject ON claim_shares (subject);

-- What touchpoints that the customer may see were about. An old one goes once newer ones stand before it that no erasure
-- can take without it.
CREATE TABLE heads (
    subject TEXT NOT NULL, occurred_at INTEGER NOT NULL, key TEXT NOT NULL,
    type TEXT NOT NULL, topic TEXT, position INTEGER NOT NULL,
    PRIMARY KEY (subject, occurred_at, key)
) WITHOUT ROWID;

CREATE TABLE topics_read (
    topic TEXT NOT NULL, part INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, part)
) WITHOUT ROWID;
CREATE TABLE markers (
    part INTEGER NOT NULL, kind TEXT NOT NULL, position INTEGER NOT NULL, recorded_at INTEGER NOT NULL,
    PRIMARY KEY (part, kind)
) WITHOUT ROWID;

-- Whose rows were told at a position that the markers have not come to: what a timeline shows changes once they do.
CREATE TABLE pending (subject TEXT NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (subject, position)) WITHOUT ROWID;

-- `salt` is of this file alone: what one replica answered is never taken for an answer of another.
CREATE TABLE replica (build TEXT NOT NULL, salt TEXT NOT NULL);

PRAGMA user_version = 4;
