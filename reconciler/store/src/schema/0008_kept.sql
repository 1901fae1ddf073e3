-- What steps note about stages and freight: JSON objects by key. Aliases of freight.

ALTER TABLE freight ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';

CREATE TABLE stage_metadata (
    project  TEXT NOT NULL REFERENCES project (name) ON DELETE CASCADE,
    stage    TEXT NOT NULL,
    metadata TEXT NOT NULL,
    PRIMARY KEY (project, stage)
) STRICT;

CREATE TABLE freight_alias (
    project TEXT NOT NULL,
    alias   TEXT NOT NULL,
    freight TEXT NOT NULL,
    PRIMARY KEY (project, alias),
    FOREIGN KEY (project, freight) REFERENCES freight (project, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX freight_alias_freight ON freight_alias (project, freight);
