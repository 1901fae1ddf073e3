-- Promotions that only show what they would do: they are in nobody's way.

ALTER TABLE promotion ADD COLUMN rehearsal INTEGER NOT NULL DEFAULT 0;
