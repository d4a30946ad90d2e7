-- What this relay alone knows. Nothing here is replicated, and no secret is stored in the clear:
-- passwords and the recovery key as Argon2id, tokens (which are random) as BLAKE3.
-- Times are milliseconds since 1970 in UTC.

CREATE TABLE account (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL,
    name_folded   TEXT NOT NULL UNIQUE,  -- what is compared: lower case, trimmed
    role          TEXT NOT NULL,         -- administrator | coordinator
    password_hash TEXT NOT NULL,         -- a PHC string
    created_at    INTEGER NOT NULL
) STRICT;

-- The key that an administrator keeps on paper: sets any password anew.
CREATE TABLE recovery (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    key_hash TEXT NOT NULL               -- a PHC string
) STRICT;

CREATE TABLE session (
    token_hash BLOB PRIMARY KEY,
    account    INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL          -- written once a minute at most
) STRICT, WITHOUT ROWID;

-- Links that log in once.
CREATE TABLE login_token (
    token_hash BLOB PRIMARY KEY,
    account    INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE enrolment (
    token_hash   BLOB PRIMARY KEY,
    organisation BLOB NOT NULL,
    label        TEXT NOT NULL,          -- what the administrator calls the device; may be empty
    expires_at   INTEGER NOT NULL,
    device       BLOB                    -- who redeemed it; NULL until then
) STRICT, WITHOUT ROWID;

-- The last that each device said of itself. Losing these rows loses only a display.
CREATE TABLE device_report (
    device  BLOB PRIMARY KEY,
    seen_at INTEGER NOT NULL,
    unsent  INTEGER                      -- records that it had not sent; NULL: never said
) STRICT, WITHOUT ROWID;

CREATE TABLE device_cursor (
    device        BLOB NOT NULL,
    space         BLOB NOT NULL,
    cursor_offset INTEGER NOT NULL,      -- how far it holds this relay's log of the space
    PRIMARY KEY (device, space)
) STRICT, WITHOUT ROWID;
