-- Instants are microseconds since 1970-01-01T00:00:00Z. Specs, logs and facts that only the domain
-- reads are JSON text. Queries keep to what SQLite and PostgreSQL share; this file is SQLite's.

-- Definitions ---------------------------------------------------------------------------------

CREATE TABLE project (
    name TEXT NOT NULL PRIMARY KEY
) STRICT;

-- Numbers that only rise. They outlive their project, so that nothing that was ever told to the
-- outside world (a promotion's id, a generation) is given out twice.
CREATE TABLE counter (
    project TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   INTEGER NOT NULL,
    PRIMARY KEY (project, name)
) STRICT;

CREATE TABLE definition (
    project    TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    spec       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (project, kind, name)
) STRICT;

CREATE INDEX definition_project ON definition (name) WHERE kind = 'project';

-- Generations of deleted definitions; one that is made anew goes on from there.
CREATE TABLE retired (
    project    TEXT NOT NULL,
    kind       TEXT NOT NULL,
    name       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (project, kind, name)
) STRICT;

-- What a stage names: warehouses it requests, its upstream stages, its verification templates.
CREATE TABLE stage_use (
    project TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    stage   TEXT NOT NULL,
    PRIMARY KEY (project, kind, name, stage)
) STRICT;

CREATE INDEX stage_use_stage ON stage_use (project, stage);

-- When a policy that selects or selected the stage last came, changed or went.
CREATE TABLE policy_change (
    project    TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    stage      TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (project, stage)
) STRICT;

-- What sources have ---------------------------------------------------------------------------

CREATE TABLE discovery (
    project      TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    warehouse    TEXT NOT NULL,
    subscription TEXT NOT NULL,
    found        TEXT NOT NULL,
    PRIMARY KEY (project, warehouse, subscription)
) STRICT;

CREATE TABLE refresh (
    project   TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    warehouse TEXT NOT NULL,
    asked_at  INTEGER NOT NULL,
    PRIMARY KEY (project, warehouse)
) STRICT;

CREATE TABLE freight (
    project    TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    id         TEXT NOT NULL,
    warehouse  TEXT NOT NULL,
    sequence   INTEGER NOT NULL,
    artifacts  TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (project, id)
) STRICT;

CREATE UNIQUE INDEX freight_sequence ON freight (project, sequence);
CREATE INDEX freight_warehouse ON freight (project, warehouse, sequence);

CREATE TABLE freight_approval (
    project     TEXT NOT NULL,
    freight     TEXT NOT NULL,
    stage       TEXT NOT NULL,
    approved_by TEXT NOT NULL,
    reason      TEXT NOT NULL,
    approved_at INTEGER NOT NULL,
    PRIMARY KEY (project, freight, stage),
    FOREIGN KEY (project, freight) REFERENCES freight (project, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE verified (
    project     TEXT NOT NULL,
    freight     TEXT NOT NULL,
    stage       TEXT NOT NULL,
    verified_at INTEGER NOT NULL,
    PRIMARY KEY (project, freight, stage),
    FOREIGN KEY (project, freight) REFERENCES freight (project, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE stay (
    project    TEXT NOT NULL,
    freight    TEXT NOT NULL,
    stage      TEXT NOT NULL,
    promotion  TEXT NOT NULL,
    entered_at INTEGER NOT NULL,
    left_at    INTEGER,
    FOREIGN KEY (project, freight) REFERENCES freight (project, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX stay_freight ON stay (project, freight, stage, entered_at);
CREATE UNIQUE INDEX stay_open ON stay (project, stage, freight) WHERE left_at IS NULL;

-- Promotions ----------------------------------------------------------------------------------

-- phase and ended_at repeat what the log folds to, for lists; slot is the stage's only slot.
CREATE TABLE promotion (
    project    TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    id         TEXT NOT NULL,
    stage      TEXT NOT NULL,
    number     INTEGER NOT NULL,
    freight    TEXT NOT NULL,
    place      INTEGER NOT NULL,
    fixed      TEXT NOT NULL,
    last_seq   INTEGER NOT NULL,
    phase      TEXT NOT NULL,
    ended_at   INTEGER,
    slot       INTEGER NOT NULL,
    PRIMARY KEY (project, id),
    FOREIGN KEY (project, freight) REFERENCES freight (project, id) ON DELETE CASCADE
) STRICT;

CREATE UNIQUE INDEX promotion_slot ON promotion (project, stage) WHERE slot = 1;
CREATE UNIQUE INDEX promotion_place ON promotion (project, place);
CREATE UNIQUE INDEX promotion_number ON promotion (project, stage, number);
CREATE INDEX promotion_freight ON promotion (project, freight, stage, number);
CREATE INDEX promotion_phase ON promotion (project, stage, phase, number);
CREATE INDEX promotion_running ON promotion (project, stage) WHERE ended_at IS NULL;

CREATE TABLE promotion_event (
    project   TEXT NOT NULL,
    promotion TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    event     TEXT NOT NULL,
    PRIMARY KEY (project, promotion, seq),
    FOREIGN KEY (project, promotion) REFERENCES promotion (project, id) ON DELETE CASCADE
) STRICT;

CREATE TRIGGER promotion_event_fixed BEFORE UPDATE ON promotion_event
BEGIN
    SELECT RAISE(ABORT, 'the log of a promotion is append-only');
END;

CREATE TABLE hold (
    project TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    stage   TEXT NOT NULL,
    reason  TEXT NOT NULL,
    held_by TEXT NOT NULL,
    held_at INTEGER NOT NULL,
    PRIMARY KEY (project, stage)
) STRICT;

-- The loop ------------------------------------------------------------------------------------

-- due_at of a leased row is the end of its lease; woken_at is what came in meanwhile.
CREATE TABLE wakeup (
    key         TEXT NOT NULL PRIMARY KEY,
    due_at      INTEGER NOT NULL,
    lease_owner TEXT,
    epoch       INTEGER NOT NULL,
    woken_at    INTEGER
) STRICT;

CREATE INDEX wakeup_due ON wakeup (due_at);

-- The ledger ----------------------------------------------------------------------------------

CREATE TABLE ledger (
    seq          INTEGER NOT NULL PRIMARY KEY,
    at           INTEGER NOT NULL,
    project      TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject      TEXT NOT NULL,
    kind         TEXT NOT NULL,
    actor        TEXT NOT NULL,
    summary      TEXT NOT NULL,
    body         TEXT NOT NULL,
    prev_hash    TEXT NOT NULL,
    hash         TEXT NOT NULL
) STRICT;

CREATE INDEX ledger_project ON ledger (project, seq);

CREATE TRIGGER ledger_fixed BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

CREATE TRIGGER ledger_kept BEFORE DELETE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is append-only');
END;

-- The end of the chain, so that a ledger that was cut short is noticed.
CREATE TABLE ledger_head (
    id   INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    seq  INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;

INSERT INTO ledger_head (id, seq, hash) VALUES (1, 0, '');

-- The last event that touched a subject.
CREATE TABLE ledger_subject (
    project TEXT NOT NULL,
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    PRIMARY KEY (project, kind, name)
) STRICT;

-- The API -------------------------------------------------------------------------------------

CREATE TABLE preview (
    key     TEXT NOT NULL PRIMARY KEY,
    body    BLOB NOT NULL,
    made_at INTEGER NOT NULL
) STRICT;

CREATE INDEX preview_made ON preview (made_at);

CREATE TABLE api_token (
    name         TEXT NOT NULL PRIMARY KEY,
    hash         BLOB NOT NULL UNIQUE,
    member_of    TEXT NOT NULL,
    admin        INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER
) STRICT;
