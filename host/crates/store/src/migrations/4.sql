-- How far pull connectors have come.
CREATE TABLE pull_cursors (
    instance TEXT PRIMARY KEY,
    cursor BLOB NOT NULL
) STRICT;
