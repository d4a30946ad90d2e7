-- The store of one device, or of one replica.
--
-- Ground state: batch, pending with orphan, space (cursors), meta. All other tables are derived from these and
-- could be built again. Numbers named after a table are that table's `id`; they are local to this file and
-- never leave it. Times are milliseconds since 1970 UTC.

PRAGMA application_id = 0x42617231; -- "Bar1"

CREATE TABLE meta (
    key   TEXT PRIMARY KEY, -- 'incarnation' (8 bytes), 'device' (32 bytes, absent in a replica), 'token', 'token_before' (16)
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE space (
    id            INTEGER PRIMARY KEY, -- in the order joined
    space         BLOB NOT NULL UNIQUE,
    cursor_log    BLOB,    -- whose log the cursor counts in
    cursor_offset INTEGER, -- the last offset held
    cursor_digest BLOB,    -- what that log is up to there
    watermark     INTEGER  -- the offset covered by the relay's newest backup
) STRICT;

CREATE TABLE chain (
    id           INTEGER PRIMARY KEY,
    space        INTEGER NOT NULL, -- space.id
    device       BLOB NOT NULL,
    incarnation  BLOB NOT NULL,
    lane         INTEGER NOT NULL,
    actor        BLOB NOT NULL,    -- the first half of the chain's id: who Automerge says wrote a change
    height       INTEGER NOT NULL, -- batches 1..height stand
    head         BLOB NOT NULL,    -- the batch at that height; zeros at height 0
    organisation BLOB,             -- whose device it is by the control records held; NULL while unknown
    branched     INTEGER NOT NULL DEFAULT 0, -- 1: batches of it are held that do not stand
    UNIQUE (space, device, incarnation, lane)
) STRICT;
CREATE INDEX chain_by_actor ON chain (actor);

CREATE TABLE batch (
    id           INTEGER PRIMARY KEY,
    batch        BLOB NOT NULL UNIQUE,
    chain        INTEGER NOT NULL, -- chain.id
    seq          INTEGER NOT NULL,
    log_offset   INTEGER,          -- where the relay's log has it; NULL for own ones
    received_at  INTEGER NOT NULL, -- by this machine's clock: when it was sealed here or came in
    acknowledged INTEGER NOT NULL, -- 1: the relay's log has it; 2: the relay has put it into quarantine
    -- It stands: 0: read; 1: waits for control records; 2: for a newer program. It does not, and is in quarantine:
    -- 3: another branch stands; 4: beyond a cut. 5: a control batch that came before others of its chain.
    state        INTEGER NOT NULL,
    control      INTEGER NOT NULL, -- 1: of the kind control
    entries      INTEGER NOT NULL, -- how many
    bytes        BLOB NOT NULL,    -- header, signature and body: as sealed, or without what was erased since
    prev         BLOB NOT NULL     -- the batch that it says comes before it
) STRICT;
CREATE INDEX batch_by_chain ON batch (chain, seq);
CREATE INDEX batch_unacknowledged ON batch (chain, seq) WHERE acknowledged = 0;
CREATE INDEX batch_quarantined_there ON batch (chain) WHERE acknowledged = 2;
CREATE INDEX batch_waiting ON batch (id) WHERE state > 0;
CREATE INDEX batch_control ON batch (id) WHERE control = 1;

-- What this device recorded and did not seal yet. A row stands on its own, so that it can be saved
-- from a damaged file: it names its space, kind and record in full.
CREATE TABLE pending (
    id          INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of writing
    space       BLOB NOT NULL,
    lane        INTEGER NOT NULL,
    write_group INTEGER NOT NULL, -- equal for what one write put into this lane: sealed into one batch
    kind        TEXT,             -- NULL for a track chunk
    record      BLOB NOT NULL,    -- the record's id, or the track chunk's
    body        BLOB NOT NULL     -- the change, or the encoded track chunk
) STRICT;
CREATE INDEX pending_by_lane ON pending (space, lane, id);
CREATE INDEX pending_by_record ON pending (record);

-- Pending rows of an earlier incarnation of this file, and what builds on them: they are not sealed
-- before their space is settled, because the log may have them.
CREATE TABLE orphan (
    pending     INTEGER PRIMARY KEY, -- pending.id
    incarnation BLOB NOT NULL        -- who recorded it
) STRICT;

-- Spaces of which it is not known yet what their log holds of this device's earlier incarnations.
CREATE TABLE unsettled (
    space      INTEGER PRIMARY KEY, -- space.id
    read_again INTEGER NOT NULL     -- 1: the log is being read from its beginning for that
) STRICT;

-- Own chains of which the relay holds more than this file does, or something else: nothing of them is sent.
CREATE TABLE chain_elsewhere (
    chain INTEGER PRIMARY KEY -- chain.id
) STRICT;

-- Which records the sealed but unacknowledged batches hold, so that "delivered" is known for each.
CREATE TABLE undelivered (
    batch  INTEGER NOT NULL, -- batch.id
    record INTEGER NOT NULL, -- record.id
    PRIMARY KEY (batch, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX undelivered_by_record ON undelivered (record);

CREATE TABLE record (
    id         INTEGER PRIMARY KEY,
    space      INTEGER NOT NULL, -- space.id
    kind       TEXT NOT NULL,
    record     BLOB NOT NULL,
    fields     BLOB NOT NULL,    -- the fields as they are now, deterministic CBOR
    time       INTEGER NOT NULL, -- the kind's time field, or when it was created if it has none
    lat        REAL,             -- degrees
    lon        REAL,
    state      TEXT,
    created_by INTEGER NOT NULL, -- chain.id
    created_at INTEGER NOT NULL, -- as its author claimed
    updated_by INTEGER NOT NULL, -- chain.id
    updated_at INTEGER NOT NULL,
    withdrawn  INTEGER NOT NULL,
    conflicts  INTEGER NOT NULL, -- fields with more than one value
    revision   INTEGER NOT NULL, -- counts every change of any row here; local
    doc        BLOB,             -- the merged document; NULL for a record of one change
    UNIQUE (space, kind, record)
) STRICT;
CREATE INDEX record_by_time ON record (space, kind, time DESC, record);
CREATE INDEX record_by_revision ON record (revision);
CREATE INDEX record_in_conflict ON record (space, kind, time DESC, record) WHERE conflicts > 0;

-- Where each applied change of a record is, so that one record can be built again without one of them.
CREATE TABLE record_entry (
    record INTEGER NOT NULL, -- record.id
    chain  INTEGER NOT NULL, -- chain.id: the author
    seq    INTEGER NOT NULL, -- the author's changes of this record, from 1
    hash   BLOB NOT NULL,    -- the change's
    batch  INTEGER,          -- batch.id; NULL while it is pending
    entry  INTEGER NOT NULL, -- which entry of the batch, from 0; or pending.id
    ancestor INTEGER NOT NULL DEFAULT 0, -- 1: the entry is an ancestor, carried by another author
    PRIMARY KEY (record, chain, seq)
) STRICT, WITHOUT ROWID;

-- Words: folded, with and without their article and endings, and nothing else but spaces between them, so
-- that the simplest tokenizer does. rowid = record.id
CREATE VIRTUAL TABLE record_text USING fts5 (
    text, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);

-- Places, rounded outwards to 32 bits. id = record.id
CREATE VIRTUAL TABLE record_place USING rtree (id, lat_min, lat_max, lon_min, lon_max);

CREATE TABLE track_chunk (
    id        INTEGER PRIMARY KEY,
    space     INTEGER NOT NULL, -- space.id
    chain     INTEGER NOT NULL, -- chain.id: the author
    chunk     BLOB NOT NULL,
    patrol    BLOB NOT NULL,
    time_from INTEGER NOT NULL,
    time_to   INTEGER NOT NULL, -- of its last position
    body      BLOB NOT NULL,    -- the encoded chunk
    batch     INTEGER,          -- batch.id; NULL while it is pending
    UNIQUE (space, chain, chunk)
) STRICT;
CREATE INDEX track_chunk_by_patrol ON track_chunk (space, patrol, time_from);
CREATE INDEX track_chunk_by_chain ON track_chunk (chain, time_to);

-- Every other place of a change: one that is not part of its record, or is in another place too. With
-- record_entry these are all, so that a record can be built again from everything that is held of it.
-- Of tracks, which have the kind 'track' and their patrol's id: the chunks that are in no row.
CREATE TABLE held_entry (
    space    INTEGER NOT NULL, -- space.id
    kind     TEXT NOT NULL,
    record   BLOB NOT NULL,
    batch    INTEGER NOT NULL, -- batch.id; 0 while it is pending
    entry    INTEGER NOT NULL, -- which entry of the batch, from 0; or pending.id
    chain    INTEGER NOT NULL, -- chain.id: the author
    seq      INTEGER NOT NULL, -- the author's changes of this record, from 1; 0 if it does not say
    hash     BLOB NOT NULL,    -- the change's; empty if it is none
    ancestor INTEGER NOT NULL, -- 1: carried by another author
    -- 0: waits for what it builds on; 1: counts only for what builds on it; 10 and more: refused, 10 + EntryRefusal
    state    INTEGER NOT NULL,
    PRIMARY KEY (space, kind, record, batch, entry)
) STRICT, WITHOUT ROWID;
CREATE INDEX held_entry_unsettled ON held_entry (state) WHERE state <> 1;

-- Ancestors that this device owes to what it wrote: to be carried along in its own chain.
CREATE TABLE owed_ancestor (
    space  INTEGER NOT NULL, -- space.id
    lane   INTEGER NOT NULL, -- in which of its chains
    kind   TEXT NOT NULL,
    record BLOB NOT NULL,
    hash   BLOB NOT NULL,
    PRIMARY KEY (space, lane, kind, record, hash)
) STRICT, WITHOUT ROWID;

-- Entries that do not say what they are about, each with the reason; their batches stay.
CREATE TABLE refused_entry (
    batch  INTEGER NOT NULL, -- batch.id
    entry  INTEGER NOT NULL,
    code   INTEGER NOT NULL, -- EntryRefusal, its number
    PRIMARY KEY (batch, entry)
) STRICT, WITHOUT ROWID;

-- Batches that were not taken at all.
CREATE TABLE refused_batch (
    batch       BLOB PRIMARY KEY,
    space       INTEGER NOT NULL, -- space.id
    log_offset  INTEGER,
    code        INTEGER NOT NULL, -- RefuseReason, its number
    received_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Batches of a version that this program does not read; an update will.
CREATE TABLE unread (
    batch      BLOB PRIMARY KEY,
    space      INTEGER NOT NULL, -- space.id
    log_offset INTEGER NOT NULL,
    bytes      BLOB NOT NULL
) STRICT;

-- Batches at which the process died while it took them in, alone or among others.
CREATE TABLE suspect (
    batch    BLOB PRIMARY KEY,
    deaths   INTEGER NOT NULL,           -- how often while it was alone
    version  TEXT NOT NULL,              -- of the program
    tries    INTEGER NOT NULL DEFAULT 0, -- how often it was tried again after it was set aside
    openings INTEGER NOT NULL DEFAULT 0  -- of the database, since it was set aside or tried
) STRICT, WITHOUT ROWID;

-- Batches of those that were not taken in, for a later try.
CREATE TABLE set_aside (
    batch      BLOB PRIMARY KEY,
    space      INTEGER NOT NULL, -- space.id
    log_offset INTEGER,
    bytes      BLOB NOT NULL
) STRICT;
