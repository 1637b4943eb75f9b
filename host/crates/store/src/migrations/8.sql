-- People who sign in with a password, and who is signed in. Passwords and tokens are there as hashes only; the secret
-- of codes is sealed, with the key that `totp_key` names.
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    roles TEXT NOT NULL,
    password TEXT NOT NULL,
    enabled INTEGER NOT NULL,
    totp BLOB,
    totp_key BLOB,
    totp_step INTEGER,
    created_ms INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    changed_ms INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    signed_in_ms INTEGER,
    signed_in_from TEXT
) STRICT;
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    access BLOB NOT NULL,
    access_until_ms INTEGER NOT NULL,
    previous BLOB,
    previous_until_ms INTEGER,
    chain BLOB NOT NULL,
    turn BLOB NOT NULL,
    refresh_until_ms INTEGER NOT NULL,
    ends_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    created_from TEXT NOT NULL
) STRICT;
