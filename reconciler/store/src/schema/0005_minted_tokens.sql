-- Tokens as definitions: with a generation, an author, and where the secret comes from. parent is the
-- token that minted this one; it goes with it.

ALTER TABLE api_token ADD COLUMN parent TEXT REFERENCES api_token (name) ON DELETE CASCADE;
ALTER TABLE api_token ADD COLUMN origin TEXT NOT NULL DEFAULT '{"from":"daemon"}';
ALTER TABLE api_token ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE api_token ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_token ADD COLUMN changed_by TEXT NOT NULL DEFAULT '';

UPDATE api_token SET changed_at = created_at, changed_by = created_by;

CREATE INDEX api_token_parent ON api_token (parent) WHERE parent IS NOT NULL;
