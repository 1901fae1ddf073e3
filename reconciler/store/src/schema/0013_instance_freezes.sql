-- Freezes of every project. They are definitions that are in no project.

CREATE TABLE instance_freeze (
    name       TEXT NOT NULL PRIMARY KEY,
    spec       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT;

-- What waits in any project, for whoever asks what such a freeze stops.
CREATE INDEX promotion_waiting ON promotion (project, place)
    WHERE ended_at IS NULL AND slot = 0 AND rehearsal = 0;
