-- Which project a key is in, so that each gets its share: the part between the first two slashes.
ALTER TABLE wakeup ADD COLUMN project TEXT NOT NULL GENERATED ALWAYS AS (
    substr(key, instr(key, '/') + 1, instr(substr(key, instr(key, '/') + 1), '/') - 1)
) VIRTUAL;

CREATE INDEX wakeup_project_due ON wakeup (project, due_at);

CREATE INDEX wakeup_held ON wakeup (project) WHERE lease_owner IS NOT NULL;
