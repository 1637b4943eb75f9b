-- Of this machine alone; PostgreSQL has no such tables.
-- Whose the instance was when the event died, and when the lane was read again; empty: the host's. A letter with `@` in
-- front is about an event of the host's own, which no tenant sees.
ALTER TABLE dead_letters ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE lane_replays ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX dead_letters_owner ON dead_letters (owner, id) WHERE owner <> '';
