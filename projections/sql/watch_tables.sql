-- The watch: of each customer what follows from his touchpoints, the scorecards, the policies and the day. Customers are
-- permanent ids in bytes; nothing here says a name, a number, a thread or a word. Scores are numbered in order of their
-- names, tiers in order of the scorecard, and -1 is none.
--
-- `walk` numbers the walks over everybody, and `day` is the one the last of them is for. One that is `whole` meets all
-- groups of the projections, another only the rows of here, to which a day is added; `after` is the group or customer it
-- stands at (none is under way: NULL). `again`: a whole one has to follow. `usual` is what stages usually last, roughly;
-- `anew`: it became another, so this walk looks anew at who has an open case. Tiers are compared on the days from `since`
-- to before `day`.
CREATE TABLE described (
    made_of TEXT NOT NULL, salt TEXT NOT NULL, step INTEGER NOT NULL,
    version TEXT NOT NULL, position INTEGER NOT NULL, as_of INTEGER, customers INTEGER NOT NULL,
    walk INTEGER NOT NULL, day INTEGER NOT NULL, after TEXT, whole INTEGER NOT NULL, again INTEGER NOT NULL, since INTEGER NOT NULL,
    counted INTEGER NOT NULL, swept INTEGER, kept_from INTEGER NOT NULL,
    usual TEXT NOT NULL, anew INTEGER NOT NULL
);

-- `standing` is [value, tier, milli-points] of each score on `day`, and `eve` [score, value, tier, milli-points] of those of
-- which the tier was another the day before. `version` and `changed` are of the last touchpoint that changed anything here.
CREATE TABLE customers (
    customer BLOB PRIMARY KEY, version TEXT NOT NULL, members TEXT NOT NULL, changed INTEGER NOT NULL,
    walk INTEGER NOT NULL, day INTEGER NOT NULL, standing TEXT NOT NULL, eve TEXT NOT NULL, matters TEXT NOT NULL,
    due_at INTEGER
) WITHOUT ROWID;
CREATE INDEX customers_by_due ON customers (due_at) WHERE due_at IS NOT NULL;

-- What of a customer's ledgers scorecards read, see `scoring.Counted`: of a new day nothing else is needed.
CREATE TABLE counted (customer BLOB PRIMARY KEY, rows TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE ranked (
    score INTEGER NOT NULL, tier INTEGER NOT NULL, value INTEGER NOT NULL, customer BLOB NOT NULL,
    PRIMARY KEY (score, tier, value, customer)
) WITHOUT ROWID;

CREATE TABLE tallies (
    score INTEGER NOT NULL, tier INTEGER NOT NULL, customers INTEGER NOT NULL, PRIMARY KEY (score, tier)
) WITHOUT ROWID;

-- A tier at the end of a day that was another the day before; each side as JSON: [value, tier, milli-points].
CREATE TABLE tier_changes (
    customer BLOB NOT NULL, day INTEGER NOT NULL, score INTEGER NOT NULL, tier INTEGER NOT NULL,
    before TEXT NOT NULL, after TEXT NOT NULL,
    PRIMARY KEY (customer, day, score)
) WITHOUT ROWID;
CREATE INDEX tier_changes_by_day ON tier_changes (day, customer, score);
CREATE INDEX tier_changes_by_tier ON tier_changes (score, tier, day, customer);

-- What changed with whom, for some days. Up to `sure` everything that was to be seen had been told before.
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, sure INTEGER NOT NULL,
    customer BLOB NOT NULL, body TEXT NOT NULL
);
CREATE INDEX changes_by_customer ON changes (customer);

-- The turns of threads, see `turns.Turn`, and what the policy in force at their opening says of them.
CREATE TABLE turns (
    customer BLOB NOT NULL, opened_at INTEGER NOT NULL, opening TEXT NOT NULL,
    channel TEXT NOT NULL, purpose TEXT, first INTEGER NOT NULL, messages INTEGER NOT NULL,
    replied_at INTEGER, reply TEXT, replied_by TEXT, agent TEXT, team TEXT,
    bot_at INTEGER, human_at INTEGER, ended_at INTEGER,
    target INTEGER, target_time TEXT, late_at INTEGER, ignored_at INTEGER,
    waited INTEGER, waited_working INTEGER, in_target INTEGER,
    PRIMARY KEY (customer, opened_at, opening)
) WITHOUT ROWID;
CREATE INDEX turns_by_time ON turns (opened_at, opening);
CREATE INDEX turns_open ON turns (late_at, opening) WHERE replied_at IS NULL AND late_at IS NOT NULL;

-- How long cases and orders stayed in a stage that they left.
CREATE TABLE stays (
    customer BLOB NOT NULL, place INTEGER NOT NULL, stage TEXT NOT NULL, stayed INTEGER NOT NULL,
    PRIMARY KEY (customer, place)
) WITHOUT ROWID;
CREATE INDEX stays_by_stage ON stays (stage, stayed)
