-- Freight by when it was made, for lists of a stretch of time.

CREATE INDEX freight_created ON freight (project, created_at, sequence);
