-- Parts of the configuration that were made through the API, with the versions before.
CREATE TABLE entries (
    id TEXT PRIMARY KEY,
    section TEXT NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    definition BLOB NOT NULL,
    key BLOB,
    created_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    updated_ms INTEGER NOT NULL,
    updated_by TEXT NOT NULL,
    UNIQUE (section, name)
) STRICT;
CREATE TABLE entry_versions (
    id TEXT NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    definition BLOB NOT NULL,
    key BLOB,
    updated_ms INTEGER NOT NULL,
    updated_by TEXT NOT NULL,
    PRIMARY KEY (id, version)
) STRICT;
-- Instances that are not to deliver, whatever the configuration says of them.
CREATE TABLE inactive_instances (
    instance TEXT PRIMARY KEY,
    since_ms INTEGER NOT NULL,
    by TEXT NOT NULL
) STRICT;
