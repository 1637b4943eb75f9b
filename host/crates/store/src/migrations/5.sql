-- Keys of the API: never a secret, only its keyed hash.
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    -- Names of roles, of networks: separated by spaces.
    roles TEXT NOT NULL,
    ip_allow TEXT NOT NULL,
    hash BLOB NOT NULL,
    -- The secret before a rotation, for as long as it is let in.
    previous_hash BLOB,
    previous_until_ms INTEGER,
    rate INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    rotated_ms INTEGER,
    expires_ms INTEGER NOT NULL,
    revoked_ms INTEGER,
    revoked_by TEXT,
    used_ms INTEGER,
    used_from TEXT,
    reminded INTEGER NOT NULL DEFAULT 0
) STRICT;

-- Which pepper the hashes were made with, told by its mark.
CREATE TABLE api_pepper (one INTEGER PRIMARY KEY CHECK (one = 1), mark BLOB NOT NULL) STRICT;
