-- Runs of pulls that events asked for, until they are done: one row for each instance, of who asked last. Once its
-- run has begun, another one that asks takes its place: that run may have passed by what the other is about.
CREATE TABLE wanted_runs (
    instance TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    initiated_by TEXT NOT NULL,
    begun INTEGER NOT NULL,
    asked_ms INTEGER NOT NULL
) STRICT;
