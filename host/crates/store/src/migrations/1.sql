CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    instance TEXT NOT NULL,
    format TEXT NOT NULL,
    tenant TEXT NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    seq INTEGER NOT NULL,
    cause TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    attempt_log TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    added_ms INTEGER NOT NULL,
    connector TEXT NOT NULL,
    size INTEGER NOT NULL,
    event BLOB NOT NULL
) STRICT;
-- A crash between the letter and its settlement makes the same letter again: it replaces itself. The
-- event id is part of the key because places start over when an operator deletes the journal.
CREATE UNIQUE INDEX dead_letters_once ON dead_letters (instance, format, seq, event_id);
CREATE INDEX dead_letters_added ON dead_letters (added_ms);

CREATE TABLE dead_letter_totals (one INTEGER PRIMARY KEY CHECK (one = 1), letters INTEGER NOT NULL, bytes INTEGER NOT NULL) STRICT;
INSERT INTO dead_letter_totals VALUES (1, 0, 0);
CREATE TRIGGER dead_letters_insert AFTER INSERT ON dead_letters BEGIN
    UPDATE dead_letter_totals SET letters = letters + 1, bytes = bytes + NEW.size;
END;
CREATE TRIGGER dead_letters_delete AFTER DELETE ON dead_letters BEGIN
    UPDATE dead_letter_totals SET letters = letters - 1, bytes = bytes - OLD.size;
END;
CREATE TRIGGER dead_letters_update AFTER UPDATE OF size ON dead_letters BEGIN
    UPDATE dead_letter_totals SET bytes = bytes - OLD.size + NEW.size;
END;

CREATE TABLE connector_state (
    tenant TEXT NOT NULL,
    instance TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (tenant, instance, key)
) STRICT, WITHOUT ROWID;
