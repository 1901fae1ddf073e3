-- What those said last whom the gates of a promotion ask: one row for each gate, written over by the next reply. When
-- it is asked again follows from it.

CREATE TABLE reply (
    project   TEXT NOT NULL,
    promotion TEXT NOT NULL,
    policy    TEXT NOT NULL,
    gate      TEXT NOT NULL,
    name      TEXT NOT NULL,
    reply     TEXT NOT NULL,
    PRIMARY KEY (project, promotion, policy, gate, name),
    FOREIGN KEY (project, promotion) REFERENCES promotion (project, id) ON DELETE CASCADE
) STRICT;
