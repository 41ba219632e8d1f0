-- One file holds one version of the projections; every key is a permanent id or a touchpoint key, never a clear value.
CREATE TABLE entries (
    subject TEXT NOT NULL, occurred_at INTEGER NOT NULL, key TEXT NOT NULL,
    position INTEGER NOT NULL, recorded_at INTEGER NOT NULL,
    type TEXT NOT NULL, family TEXT NOT NULL, channel TEXT NOT NULL, source TEXT NOT NULL,
    direction TEXT NOT NULL, thread TEXT, for_customer INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (subject, occurred_at, key)
) WITHOUT ROWID;
CREATE INDEX entries_by_position ON entries (subject, position);
CREATE INDEX complaints ON entries (occurred_at) WHERE type = 'complaint_raised';
CREATE INDEX held_back ON entries (occurred_at) WHERE type IN ('contact_deferred', 'contact_suppressed');

CREATE TABLE ledger (
    subject TEXT NOT NULL, signal TEXT NOT NULL, day INTEGER NOT NULL, count INTEGER NOT NULL, total INTEGER NOT NULL,
    PRIMARY KEY (subject, signal, day)
) WITHOUT ROWID;

CREATE TABLE registers (
    subject TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
    value TEXT NOT NULL, occurred_at INTEGER NOT NULL, touchpoint TEXT NOT NULL,
    PRIMARY KEY (subject, kind, key)
) WITHOUT ROWID;

-- Cases and orders by their number: what stands before it in the key is all there is to try.
CREATE INDEX cases ON registers (key COLLATE NOCASE) WHERE kind IN ('case', 'case_opened', 'case_stage');

-- The words of names, as they are looked for: made from the registers of these traits, by their subject and key.
CREATE TABLE search (
    subject TEXT NOT NULL, key TEXT NOT NULL, term TEXT NOT NULL, PRIMARY KEY (subject, key, term)
) WITHOUT ROWID;
CREATE INDEX search_by_term ON search (term);

-- What these words end with, from three letters on, so that every part of a word begins one.
CREATE TABLE search_ends (term TEXT NOT NULL, subject TEXT NOT NULL, PRIMARY KEY (term, subject)) WITHOUT ROWID;

CREATE TABLE thread_messages (
    subject TEXT NOT NULL, thread TEXT NOT NULL, occurred_at INTEGER NOT NULL, key TEXT NOT NULL,
    role TEXT NOT NULL, public INTEGER NOT NULL, channel TEXT NOT NULL,
    agent TEXT, team TEXT, purpose TEXT, closes INTEGER NOT NULL,
    PRIMARY KEY (subject, thread, occurred_at, key)
) WITHOUT ROWID;
CREATE INDEX answers ON thread_messages (subject, thread, occurred_at, key) WHERE public AND role <> 'customer';
CREATE INDEX ends ON thread_messages (subject, thread, occurred_at, key) WHERE closes;

-- Of each thread of a subject the customer's first message since the last public word of ours, if there is one.
CREATE TABLE unanswered (
    subject TEXT NOT NULL, thread TEXT NOT NULL, occurred_at INTEGER NOT NULL, key TEXT NOT NULL,
    PRIMARY KEY (subject, thread)
) WITHOUT ROWID;
CREATE INDEX unanswered_by_time ON unanswered (occurred_at, key);

-- Where we spoke to him, were about to, or did not after all; `tags` is a JSON list, `counts` NULL where nobody decided.
CREATE TABLE contacts (
    subject TEXT NOT NULL, occurred_at INTEGER NOT NULL, key TEXT NOT NULL,
    kind TEXT NOT NULL, reservation TEXT, channel TEXT NOT NULL, purpose TEXT, tags TEXT NOT NULL, campaign TEXT,
    counts INTEGER, until INTEGER,
    PRIMARY KEY (subject, occurred_at, key)
) WITHOUT ROWID;

-- The earliest claim of a pair and strength, how many there were and when the last; agents' decisions each by itself.
CREATE TABLE claims (
    lesser TEXT NOT NULL, greater TEXT NOT NULL, strength INTEGER NOT NULL, apart INTEGER NOT NULL, own TEXT NOT NULL,
    occurred_at INTEGER NOT NULL, touchpoint TEXT NOT NULL, source TEXT NOT NULL,
    times INTEGER NOT NULL, last_at INTEGER NOT NULL,
    PRIMARY KEY (lesser, greater, strength, apart, own)
) WITHOUT ROWID;
CREATE INDEX claims_by_greater ON claims (greater, lesser);

-- `grp`: identifiers whose claims touch share one; a customer never reaches beyond it. `shared` by too
-- many people, or `blocked` because its value names nobody: it links nobody.
CREATE TABLE identifiers (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, value TEXT NOT NULL,
    first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL, touchpoints INTEGER NOT NULL,
    changed INTEGER NOT NULL, grp TEXT NOT NULL,
    shared INTEGER NOT NULL, blocked INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX identifiers_by_group ON identifiers (grp);
CREATE INDEX identifiers_by_value ON identifiers (value COLLATE NOCASE);

-- How many touchpoints were recorded, for two days: of nobody, so no erasure touches it.
CREATE TABLE minutes (
    minute INTEGER NOT NULL, channel TEXT NOT NULL, touchpoints INTEGER NOT NULL, PRIMARY KEY (minute, channel)
) WITHOUT ROWID;

CREATE TABLE positions (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO positions VALUES ('folded', 0);
CREATE TABLE described (version TEXT NOT NULL);
