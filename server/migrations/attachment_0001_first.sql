-- What is known of the attachments beside their files. Without it everything but the account of which
-- device sent what, and what must not come back, is found again: from the files and from the views.

-- Attachments that are held whole.
CREATE TABLE held (
    space       BLOB NOT NULL,
    hash        BLOB NOT NULL,
    len         INTEGER NOT NULL,
    device      BLOB,                 -- who sent it; NULL if nobody knows, as after a restore
    received_at INTEGER NOT NULL,     -- milliseconds since 1970
    PRIMARY KEY (space, hash)
) STRICT, WITHOUT ROWID;

-- Which records name an attachment, or its thumbnail.
CREATE TABLE mention (
    space      BLOB NOT NULL,
    hash       BLOB NOT NULL,
    kind       TEXT NOT NULL,
    record     BLOB NOT NULL,
    is_current INTEGER NOT NULL,      -- 0 once the record names it no more: its history still does
    PRIMARY KEY (space, hash, kind, record)
) STRICT, WITHOUT ROWID;

CREATE INDEX mention_by_record ON mention (space, kind, record);

-- What only erased records named: it is gone, and is not taken again while no record names it.
CREATE TABLE erased (
    space BLOB NOT NULL,
    hash  BLOB NOT NULL,
    PRIMARY KEY (space, hash)
) STRICT, WITHOUT ROWID;
