//! Reads a whole log through and tells what in it is not as it was written.
//!
//! Batches vouch for themselves, by signature and hashes; the order, the chains and the numbers beside
//! them are compared with the batches. What depends on another finding is not reported a second time.

use std::collections::BTreeMap;

use barid_core::batch::{BatchError, Header, SealedBatch};
use barid_core::control::{Membership, Verdict};
use barid_core::id::{BatchId, ChainId, LogDigest, SpaceId};
use rusqlite::Connection;

use super::reader::{checksum, meta};
use super::verify;

/// Something in a log that is not as it was written.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The log does not say who it is.
    #[error("the log does not state its {0}")]
    Meta(&'static str),
    /// Offsets are dense, and these are not there.
    #[error("space {space}: there is nothing at the offsets {first} to {last}")]
    MissingOffsets {
        /// The space.
        space: SpaceId,
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// A batch is not what its author signed.
    #[error("space {space}, offset {offset}: {cause}")]
    Batch {
        /// The space.
        space: SpaceId,
        /// Where.
        offset: u64,
        /// What is wrong with it.
        cause: BatchError,
    },
    /// What stands beside a batch contradicts it.
    #[error("space {space}, offset {offset}: `{column}` is not the batch's")]
    Column {
        /// The space.
        space: SpaceId,
        /// Where.
        offset: u64,
        /// The column.
        column: &'static str,
    },
    /// A chain has a hole.
    #[error("space {space}, offset {offset}: its chain goes on with {found} after {held}")]
    Gap {
        /// The space.
        space: SpaceId,
        /// Where.
        offset: u64,
        /// The last sequence number before.
        held: u64,
        /// The batch's.
        found: u64,
    },
    /// A batch does not name the one before it in its chain.
    #[error("space {space}, offset {offset}: it does not continue the batch before it in its chain")]
    Unlinked {
        /// The space.
        space: SpaceId,
        /// Where.
        offset: u64,
    },
    /// By the control records before it, the batch does not belong there.
    #[error(
        "space {space}, offset {offset}: by the control records before it, its author may not write here"
    )]
    NotPermitted {
        /// The space.
        space: SpaceId,
        /// Where.
        offset: u64,
    },
    /// The space's own numbers are not those of its batches.
    #[error("space {space}: its {what} is stated as {stated} and is {found}")]
    Total {
        /// The space.
        space: SpaceId,
        /// Head or length.
        what: &'static str,
        /// What is stated.
        stated: u64,
        /// What its batches amount to.
        found: u64,
    },
    /// A chain is not served from some batch on: the disk has spoiled its bytes.
    #[error(
        "space {space}: the chain {chain:?} is not served from its batch {seq} on, whose bytes are spoiled"
    )]
    Spoiled {
        /// The space.
        space: SpaceId,
        /// The chain.
        chain: ChainId,
        /// The batch's place in it.
        seq: u64,
    },
    /// Something is missing from a batch, and nothing was erased in its space.
    #[error("space {space}, offset {offset}: something is missing from it, and nothing was erased here")]
    Missing {
        /// The space.
        space: SpaceId,
        /// Where.
        offset: u64,
    },
    /// A batch in quarantine is not as it was written.
    #[error("space {space}: the batch {batch} in quarantine: {cause}")]
    Quarantined {
        /// The space.
        space: SpaceId,
        /// The batch.
        batch: BatchId,
        /// What is wrong with it.
        cause: String,
    },
    /// The digest of the whole log is not that of its batches.
    #[error("space {space}: its digest is not that of its batches")]
    Digest {
        /// The space.
        space: SpaceId,
    },
    /// A chain's stated height or head is not that of its last batch.
    #[error("space {space}: the stated height of the chain {chain:?} is not that of its last batch")]
    Height {
        /// The space.
        space: SpaceId,
        /// The chain.
        chain: ChainId,
    },
    /// SQLite cannot read on.
    #[error("space {space}: its batches cannot be read beyond offset {after}: {cause}")]
    Unreadable {
        /// The space.
        space: SpaceId,
        /// The last offset that could be read.
        after: u64,
        /// What SQLite says.
        cause: rusqlite::Error,
    },
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Audited {
    /// Spaces.
    pub spaces: u64,
    /// Batches.
    pub batches: u64,
    /// Batches in quarantine, the discarded ones too.
    pub quarantined: u64,
}

/// Reads the log in a database through, as of one moment, and adds what it finds to `faults`.
pub fn audit(connection: &Connection, faults: &mut Vec<Fault>) -> Result<Audited, rusqlite::Error> {
    let snapshot = connection.unchecked_transaction()?;
    if !matches!(meta::<16>(&snapshot, "log"), Ok(Some(_))) {
        faults.push(Fault::Meta("id"));
    }
    if !matches!(meta::<8>(&snapshot, "incarnation"), Ok(Some(_))) {
        faults.push(Fault::Meta("incarnation"));
    }
    let mut audited = Audited::default();
    for space in spaces(&snapshot)? {
        let mut reading = Reading::begin(&snapshot, &space, faults)?;
        if let Err(cause) = reading.read(&snapshot) {
            let after = reading.offset;
            reading.faults.push(Fault::Unreadable { space: space.id, after, cause });
        } else {
            reading.read_quarantine(&snapshot)?;
            reading.compare_totals(&space);
        }
        audited.quarantined += reading.quarantined;
        audited.batches += reading.batches;
        audited.spaces += 1;
    }
    Ok(audited)
}

struct SpaceRow {
    number: i64,
    id: SpaceId,
    head: u64,
    len: u64,
    digest: LogDigest,
}

fn spaces(connection: &Connection) -> rusqlite::Result<Vec<SpaceRow>> {
    let mut statement =
        connection.prepare("SELECT number, id, head, len, digest FROM space ORDER BY number")?;
    let rows = statement.query_map([], |row| {
        Ok(SpaceRow {
            number: row.get(0)?,
            id: SpaceId::from_bytes(row.get(1)?),
            head: row.get::<_, i64>(2)?.unsigned_abs(),
            len: row.get::<_, i64>(3)?.unsigned_abs(),
            digest: LogDigest::from_bytes(row.get(4)?),
        })
    })?;
    rows.collect()
}

/// A chain: what is stated of it, and how far it has been read.
struct Chain {
    id: ChainId,
    stated: (u64, BatchId),
    reached: (u64, BatchId),
    damaged_from: Option<u64>,
}

fn chains(connection: &Connection, space: i64) -> rusqlite::Result<BTreeMap<i64, Chain>> {
    let mut statement =
        connection.prepare("SELECT number, id, seq, head, damaged_from FROM chain WHERE space = ?1")?;
    let rows = statement.query_map([space], |row| {
        let stated = (row.get::<_, i64>(2)?.unsigned_abs(), BatchId::from_bytes(row.get(3)?));
        let reached = (0, BatchId::from_bytes([0; 32]));
        let damaged_from = row.get::<_, Option<i64>>(4)?.map(i64::unsigned_abs);
        Ok((row.get(0)?, Chain { id: ChainId::from_bytes(row.get(1)?), stated, reached, damaged_from }))
    })?;
    rows.collect()
}

/// A row of the log.
struct Row {
    offset: u64,
    id: BatchId,
    digest: LogDigest,
    chain: i64,
    seq: u64,
    kind: u8,
    cumulative_len: u64,
    /// None of a batch that does not stand any more.
    bytes: Option<Vec<u8>>,
    prev: BatchId,
    len: u64,
    stands: bool,
    checksum: Option<[u8; 8]>,
}

/// One space, while it is read.
struct Reading<'a> {
    space: SpaceId,
    number: i64,
    chains: BTreeMap<i64, Chain>,
    membership: Membership,
    /// Where something is missing from a batch, which only an erasure explains.
    rewritten: Vec<u64>,
    /// Whether a control batch could not be read: then nobody's rights can be judged any more.
    is_membership_known: bool,
    offset: u64,
    len: u64,
    digest: LogDigest,
    batches: u64,
    quarantined: u64,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Reading<'a> {
    fn begin(
        connection: &Connection,
        space: &SpaceRow,
        faults: &'a mut Vec<Fault>,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            space: space.id,
            number: space.number,
            chains: chains(connection, space.number)?,
            membership: Membership::new(space.id),
            rewritten: Vec::new(),
            is_membership_known: true,
            offset: 0,
            len: 0,
            digest: LogDigest::EMPTY,
            batches: 0,
            quarantined: 0,
            faults,
        })
    }

    fn read(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(
            "SELECT batch_offset, id, chain, seq, kind, cumulative_len, bytes, digest, prev, len, stands, checksum
             FROM batch
             WHERE space = ?1 ORDER BY batch_offset",
        )?;
        let mut rows = statement.query([self.number])?;
        while let Some(row) = rows.next()? {
            let row = Row {
                offset: row.get::<_, i64>(0)?.unsigned_abs(),
                id: BatchId::from_bytes(row.get(1)?),
                chain: row.get(2)?,
                seq: row.get::<_, i64>(3)?.unsigned_abs(),
                kind: row.get(4)?,
                cumulative_len: row.get::<_, i64>(5)?.unsigned_abs(),
                bytes: row.get(6)?,
                digest: LogDigest::from_bytes(row.get(7)?),
                prev: BatchId::from_bytes(row.get(8)?),
                len: row.get::<_, i64>(9)?.unsigned_abs(),
                stands: row.get(10)?,
                checksum: row.get(11)?,
            };
            self.row(row);
        }
        Ok(())
    }

    fn row(&mut self, row: Row) {
        let (space, offset) = (self.space, row.offset);
        self.batches += 1;
        let is_dense = offset == self.offset + 1;
        if offset <= self.offset {
            self.column(offset, "batch_offset");
        } else if !is_dense {
            self.faults.push(Fault::MissingOffsets { space, first: self.offset + 1, last: offset - 1 });
            // One of them may have been a control batch.
            self.is_membership_known = false;
        }
        self.len += row.len;
        if is_dense && row.cumulative_len != self.len {
            self.column(offset, "cumulative_len");
        }
        if is_dense && row.digest != self.digest.then(row.id) {
            self.column(offset, "digest");
        }
        (self.len, self.digest) = (row.cumulative_len, row.digest);
        self.offset = offset;
        let previous = if row.stands { self.continue_chain(&row) } else { None };
        let Some(bytes) = row.bytes else {
            if row.stands {
                self.column(offset, "bytes");
            }
            return;
        };
        let (len, is_checked) = (bytes.len() as u64, row.checksum == Some(checksum(&bytes)));
        match SealedBatch::parse(bytes).and_then(verify) {
            Ok(batch) => {
                let header = batch.header();
                let columns = [
                    ("id", row.id == batch.sealed().id()),
                    ("space", header.space == space),
                    ("seq", row.seq == header.seq),
                    ("kind", row.kind == header.kind as u8),
                    ("checksum", is_checked),
                    ("prev", row.prev == header.prev),
                    ("len", row.len == len || batch.is_rewritten()),
                ];
                for (column, _) in columns.iter().filter(|(_, is_right)| !is_right) {
                    self.column(offset, column);
                }
                if let Some((chain, prev)) = previous {
                    self.compare_chain(offset, header, chain, prev);
                }
                let verdict = match &batch.control {
                    Some(body) => self.membership.apply_batch(batch.sealed(), body),
                    None => self.membership.verdict(header, batch.sealed().id()),
                };
                if batch.is_rewritten() {
                    self.rewritten.push(offset);
                }
                if self.is_membership_known && verdict != Verdict::Accepted {
                    self.faults.push(Fault::NotPermitted { space, offset });
                }
            }
            Err(cause) => {
                self.faults.push(Fault::Batch { space, offset, cause });
                self.is_membership_known &= row.kind == 1;
            }
        }
    }

    /// Goes on along the row's chain. Returns the chain, and the batch that comes before in it, unless
    /// that is not known.
    fn continue_chain(&mut self, row: &Row) -> Option<(ChainId, Option<BatchId>)> {
        let Some(chain) = self.chains.get_mut(&row.chain) else {
            self.column(row.offset, "chain");
            return None;
        };
        let (held, before) = std::mem::replace(&mut chain.reached, (row.seq, row.id));
        let id = chain.id;
        if row.seq == held + 1 {
            return Some((id, Some(before)));
        }
        let (space, offset, found) = (self.space, row.offset, row.seq);
        self.faults.push(Fault::Gap { space, offset, held, found });
        Some((id, None))
    }

    fn compare_chain(&mut self, offset: u64, header: &Header, chain: ChainId, before: Option<BatchId>) {
        if header.chain() != chain {
            self.column(offset, "chain");
        } else if before.is_some_and(|before| header.prev != before) {
            self.faults.push(Fault::Unlinked { space: self.space, offset });
        }
    }

    fn column(&mut self, offset: u64, column: &'static str) {
        self.faults.push(Fault::Column { space: self.space, offset, column });
    }

    /// Reads what is in quarantine, once all control records are known.
    fn read_quarantine(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "SELECT q.id, q.chain, q.seq, q.prev, q.bytes FROM chain AS c
            JOIN quarantine AS q ON q.chain = c.number WHERE c.space = ?1 ORDER BY q.number";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([self.number])?;
        while let Some(row) = rows.next()? {
            self.quarantined += 1;
            let (id, seq) = (BatchId::from_bytes(row.get(0)?), row.get::<_, i64>(2)?.unsigned_abs());
            let Some(bytes) = row.get::<_, Option<Vec<u8>>>(4)? else { continue };
            let (space, chain) = (self.space, self.chains.get(&row.get(1)?).map(|chain| chain.id));
            let cause = match SealedBatch::parse(bytes).and_then(verify) {
                Err(cause) => Some(cause.to_string()),
                Ok(batch) => {
                    let header = batch.header();
                    let is_right = batch.sealed().id() == id
                        && Some(header.chain()) == chain
                        && (header.seq, header.prev) == (seq, BatchId::from_bytes(row.get(3)?));
                    (!is_right).then(|| "what stands beside it is not the batch's".to_owned())
                }
            };
            self.faults.extend(cause.map(|cause| Fault::Quarantined { space, batch: id, cause }));
        }
        Ok(())
    }

    fn compare_totals(&mut self, stated: &SpaceRow) {
        let space = self.space;
        if self.is_membership_known && !self.membership.has_erasures() {
            self.faults.extend(self.rewritten.iter().map(|offset| Fault::Missing { space, offset: *offset }));
        }
        for (what, stated, found) in [("head", stated.head, self.offset), ("length", stated.len, self.len)] {
            if stated != found {
                self.faults.push(Fault::Total { space, what, stated, found });
            }
        }
        if stated.digest != self.digest {
            self.faults.push(Fault::Digest { space });
        }
        for chain in self.chains.values() {
            let spoiled = chain.damaged_from.map(|seq| Fault::Spoiled { space, chain: chain.id, seq });
            self.faults.extend(spoiled);
        }
        let differs = |chain: &&Chain| chain.stated != chain.reached;
        for chain in self.chains.values().filter(differs) {
            self.faults.push(Fault::Height { space, chain: chain.id });
        }
    }
}
