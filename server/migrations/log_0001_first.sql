-- The log: sealed batches, append-only, in the order in which this relay made them durable.
-- Ground state: everything else on a relay is derived from it, or is about the relay itself.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL   -- 'log': this log's id (16 bytes); 'incarnation': of the chains of control
                          -- batches written here (8 bytes); 'joint_space': its id, once founded
) STRICT, WITHOUT ROWID;

CREATE TABLE space (
    number INTEGER PRIMARY KEY,
    id     BLOB NOT NULL UNIQUE,
    head   INTEGER NOT NULL,  -- the newest offset; 0 before the first batch
    len    INTEGER NOT NULL,  -- bytes of all its batches
    digest BLOB NOT NULL      -- what the log is up to the newest offset: zeros before the first batch
) STRICT;

CREATE TABLE chain (
    number      INTEGER PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    space       INTEGER NOT NULL REFERENCES space (number),
    device      BLOB NOT NULL,
    incarnation BLOB NOT NULL,
    lane        INTEGER NOT NULL,
    seq         INTEGER NOT NULL,  -- its height: 1..seq are held
    head        BLOB NOT NULL      -- the id of the batch at that height
) STRICT;
CREATE INDEX chain_by_device ON chain (space, device);

CREATE TABLE batch (
    number         INTEGER PRIMARY KEY,
    space          INTEGER NOT NULL REFERENCES space (number),
    batch_offset   INTEGER NOT NULL,  -- dense from 1 within the space
    id             BLOB NOT NULL,
    digest         BLOB NOT NULL,     -- what the log is up to here: over the ids of all batches in order
    chain          INTEGER NOT NULL REFERENCES chain (number),
    seq            INTEGER NOT NULL,
    kind           INTEGER NOT NULL,  -- of the header: 1 entries, 2 control
    received_at    INTEGER NOT NULL,  -- milliseconds since 1970 by the relay's clock
    cumulative_len INTEGER NOT NULL,  -- bytes of the space's batches up to and with this one
    bytes          BLOB NOT NULL      -- as sealed: never encoded again
) STRICT;
CREATE UNIQUE INDEX batch_by_offset ON batch (space, batch_offset);
CREATE UNIQUE INDEX batch_by_seq ON batch (chain, seq);
CREATE INDEX batch_control ON batch (space, batch_offset) WHERE kind = 2;
