-- The log: sealed batches, append-only, in the order in which this relay made them durable.
-- Ground state: everything else on a relay is derived from it, or is about the relay itself.
--
-- A row of the log is never taken out: its id is part of the log's digest. A batch that does not stand
-- any more, because of a revoke or a fork, leaves its row without bytes; they are in quarantine then,
-- and get a new row if it comes to stand again.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL   -- 'log': this log's id (16 bytes); 'incarnation': of the chains of control
                          -- batches written here (8 bytes); 'joint_space': its id, once founded
) STRICT, WITHOUT ROWID;

CREATE TABLE space (
    number    INTEGER PRIMARY KEY,
    id        BLOB NOT NULL UNIQUE,
    head      INTEGER NOT NULL,  -- the newest offset; 0 before the first batch
    len       INTEGER NOT NULL,  -- bytes of all its batches when they were appended
    digest    BLOB NOT NULL,     -- what the log is up to the newest offset: zeros before the first batch
    watermark INTEGER NOT NULL   -- the offset up to which the newest finished backup has it; 0 without one
) STRICT;

CREATE TABLE chain (
    number       INTEGER PRIMARY KEY,
    id           BLOB NOT NULL UNIQUE,
    space        INTEGER NOT NULL REFERENCES space (number),
    device       BLOB NOT NULL,
    incarnation  BLOB NOT NULL,
    lane         INTEGER NOT NULL,
    seq          INTEGER NOT NULL,  -- its height: 1..seq stand in the log; 0 if all of it is in quarantine
    head         BLOB NOT NULL,     -- the id of the batch at that height; zeros at height 0
    damaged_from INTEGER            -- the first batch of it whose bytes the disk has spoiled: neither it
                                    -- nor what follows is served until its author sends it again
) STRICT;
CREATE INDEX chain_by_device ON chain (device, space);

CREATE TABLE batch (
    number         INTEGER PRIMARY KEY,
    space          INTEGER NOT NULL REFERENCES space (number),
    batch_offset   INTEGER NOT NULL,  -- dense from 1 within the space
    id             BLOB NOT NULL,
    digest         BLOB NOT NULL,     -- what the log is up to here: over the ids of all batches in order
    chain          INTEGER NOT NULL REFERENCES chain (number),
    seq            INTEGER NOT NULL,
    prev           BLOB NOT NULL,     -- of the header: the batch before it in its chain
    kind           INTEGER NOT NULL,  -- of the header: 1 entries, 2 control
    received_at    INTEGER NOT NULL,  -- milliseconds since 1970 by the relay's clock
    len            INTEGER NOT NULL,  -- bytes when it was appended
    cumulative_len INTEGER NOT NULL,  -- the same of all batches of the space up to and with this one
    stands         INTEGER NOT NULL,  -- 1: on the branch that counts. 0: fallen; a control batch is served
                                      -- all the same, for what it states holds on whatever branch it is
    checksum       BLOB,              -- of the bytes, 8: so that spoiled ones are not served
    bytes          BLOB               -- as sealed, but for what was erased; NULL once fallen
) STRICT;
CREATE UNIQUE INDEX batch_by_offset ON batch (space, batch_offset);
CREATE INDEX batch_by_seq ON batch (chain, seq);
CREATE INDEX batch_control ON batch (space, batch_offset) WHERE kind = 2;

-- What was taken and is not in the log: written beyond the cut of a revoke, or on a branch that does
-- not stand. Nobody but an administrator gets to see it.
CREATE TABLE quarantine (
    number      INTEGER PRIMARY KEY,
    id          BLOB NOT NULL UNIQUE,
    chain       INTEGER NOT NULL REFERENCES chain (number),
    seq         INTEGER NOT NULL,
    prev        BLOB NOT NULL,
    reason      INTEGER NOT NULL,  -- 1: revoked, 2: a fork
    received_at INTEGER NOT NULL,  -- milliseconds since 1970 by the relay's clock
    len         INTEGER NOT NULL,  -- of the bytes
    bytes       BLOB               -- as sealed, but for what was erased; NULL once discarded
) STRICT;
CREATE INDEX quarantine_by_seq ON quarantine (chain, seq);

-- What was decided on this relay. Each hash covers the entry and the hash before it.
CREATE TABLE trail (
    number INTEGER PRIMARY KEY,  -- from 1, without a gap
    entry  BLOB NOT NULL,        -- who did what when, as deterministic CBOR
    hash   BLOB NOT NULL
) STRICT;
