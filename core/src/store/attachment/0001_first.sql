-- Attachments of one device, in a file of their own: whatever becomes of it, no record is harmed.
--
-- It names spaces and records in full, so that it stands beside any database of this device.

PRAGMA application_id = 0x42617241; -- "BarA"

CREATE TABLE meta (
    key   TEXT PRIMARY KEY, -- 'revision': records changed up to it were looked at for what they mention
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE attachment (
    id           INTEGER PRIMARY KEY,
    space        BLOB NOT NULL,
    hash         BLOB NOT NULL,
    len          INTEGER NOT NULL,
    is_thumbnail INTEGER NOT NULL,
    held_len     INTEGER NOT NULL, -- bytes held from its beginning
    -- 0: wanted, and not whole; 1: whole, and the relay is not known to hold it; 2: whole, and it does;
    -- 3: known and not wanted; 4: whole, and the record that mentions it is still to be written.
    state        INTEGER NOT NULL,
    head         INTEGER,          -- the space's log when the relay had it; NULL if it came from there
    refusal      INTEGER,          -- why the relay last did not take it
    UNIQUE (space, hash)
) STRICT;
CREATE INDEX attachment_moving ON attachment (state, is_thumbnail, id) WHERE state IN (0, 1, 4);

-- The bytes, in runs as they came. id = attachment.id << 32 | where the run begins
CREATE TABLE run (
    id    INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL
) STRICT;

-- Which records mention what, thumbnails too.
CREATE TABLE mention (
    space  BLOB NOT NULL,
    kind   TEXT NOT NULL,
    record BLOB NOT NULL,
    hash   BLOB NOT NULL,
    PRIMARY KEY (space, kind, record, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX mention_by_hash ON mention (space, hash);
