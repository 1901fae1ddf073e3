-- What the last look at the infra of a stage found, as JSON, and when somebody last asked for one. When the next one
-- is due, and who is at it, is a wake-up like any other.

CREATE TABLE drift (
    project  TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    stage    TEXT NOT NULL,
    found    TEXT,
    asked_at INTEGER,
    PRIMARY KEY (project, stage)
) STRICT;
