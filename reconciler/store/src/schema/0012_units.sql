-- What each promotion brings: its own freight, and that of other warehouses which comes along as one unit.

CREATE TABLE brought (
    project   TEXT NOT NULL,
    freight   TEXT NOT NULL,
    stage     TEXT NOT NULL,
    number    INTEGER NOT NULL,
    promotion TEXT NOT NULL,
    PRIMARY KEY (project, freight, stage, number),
    FOREIGN KEY (project, freight) REFERENCES freight (project, id) ON DELETE CASCADE,
    FOREIGN KEY (project, promotion) REFERENCES promotion (project, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX brought_by ON brought (project, promotion);

INSERT INTO brought SELECT project, freight, stage, number, id FROM promotion;

-- Whatever was found by it is found by the table.
DROP INDEX promotion_freight;
