-- What servers gave in the place of configured refresh tokens, sealed.
CREATE TABLE refresh_tokens (
    credential TEXT PRIMARY KEY,
    kept BLOB NOT NULL,
    key BLOB,
    updated_ms INTEGER NOT NULL
) STRICT;
