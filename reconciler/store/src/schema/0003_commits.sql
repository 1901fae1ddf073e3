-- When a promotion took its slot. It repeats what its log says, for rates that count commits.

ALTER TABLE promotion ADD COLUMN committed_at INTEGER;

UPDATE promotion SET committed_at = (
    SELECT promotion_event.at FROM promotion_event
    WHERE promotion_event.project = promotion.project
      AND promotion_event.promotion = promotion.id
      AND promotion_event.event = '{"event":"committed"}'
);

CREATE INDEX promotion_committed ON promotion (project, stage, committed_at)
    WHERE committed_at IS NOT NULL;
