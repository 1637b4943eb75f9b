-- A letter that is handed to its lane again stays until the lane is done with the event: `open`, `replaying`,
-- or `delivered`, which is kept where it was edited.
ALTER TABLE dead_letters ADD COLUMN state TEXT NOT NULL DEFAULT 'open';
-- Where in the journal the event was put the last time.
ALTER TABLE dead_letters ADD COLUMN replay_seq INTEGER;
-- How often by hand, and how often by `dead_letters.retry`.
ALTER TABLE dead_letters ADD COLUMN replays INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
-- The event as it died, where `event` is an edited one.
ALTER TABLE dead_letters ADD COLUMN edited_ms INTEGER;
ALTER TABLE dead_letters ADD COLUMN received BLOB;
CREATE INDEX dead_letters_replaying ON dead_letters (id) WHERE state = 'replaying';

-- Lanes that are read again.
CREATE TABLE lane_replays (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    instance TEXT NOT NULL,
    format TEXT NOT NULL,
    since_ns INTEGER NOT NULL,
    until_ns INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    next INTEGER NOT NULL,
    events INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'running',
    reason TEXT NOT NULL DEFAULT '',
    begun_ms INTEGER NOT NULL,
    ended_ms INTEGER
) STRICT;
