-- Promotions of a project in the order in which they committed, for looks at the past.

CREATE INDEX promotion_commit_order ON promotion (project, committed_at, place)
    WHERE committed_at IS NOT NULL;
