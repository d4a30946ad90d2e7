//! Taking in what others recorded.
//!
//! A batch's signature is verified, its author judged by the control records held, and its entries
//! go into rows, in one transaction with the cursor. Whatever order batches come in, and however
//! often, the rows are the same: an entry that builds on what is not here waits for it, a batch of
//! an unknown author waits for the control records about it, one that does not stand is kept in
//! quarantine, and a bad entry is refused alone.

mod ahead;
mod carried;
mod standing;
mod taking;

use rusqlite::Connection;

use super::Store;
use super::error::StoreError;
use super::observe::Changed;
use super::space;
use crate::batch::{SealedBatch, unread_id};
use crate::id::{BatchId, SpaceId};
use crate::position::Cursor;

pub(super) use ahead::First;
use ahead::read_ahead;
pub use carried::{CarriedOutcome, CarriedReport};
pub(super) use taking::Ingest;

/// The state of a batch that stands and was read.
pub(super) const READ: u8 = 0;
/// Of one that stands and waits for control records.
pub(super) const WAITS: u8 = 1;
/// Of one that stands and that a newer version of this program will read.
pub(super) const UNREAD: u8 = 2;
/// Of one beside which another branch stands.
pub(super) const FORK: u8 = 3;
/// Of one beyond a cut.
pub(super) const REVOKED: u8 = 4;
/// Of a control batch that came before others of its chain. From [`FORK`] on none stands.
pub(super) const AHEAD: u8 = 5;

/// Why no replica takes an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EntryRefusal {
    /// It is not what an entry of its type may be.
    Malformed = 1,
    /// The change is not by the chain that carries it.
    WrongAuthor = 2,
    /// Another change, or track chunk, stands in its place.
    SequenceReused = 3,
    /// It contradicts the changes that it builds on.
    ContradictsAncestors = 4,
    /// The kind's name is reserved.
    ReservedKind = 5,
}

/// What came of one ingest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IngestReport {
    /// What is not what it was, in order, each once.
    pub changed: Vec<Changed>,
    /// Batches taken in.
    pub taken: u32,
    /// Batches that were held already.
    pub held: u32,
    /// Batches that wait for control records.
    pub waiting: u32,
    /// Batches put into quarantine.
    pub quarantined: u32,
    /// Batches refused, each with its reason in the store.
    pub refused: u32,
    /// Batches set aside, because the process died at them before.
    pub set_aside: u32,
    /// Who belongs to the space is not what it was.
    pub membership_changed: bool,
    /// How far the log is held now.
    pub cursor: Option<Cursor>,
}

impl IngestReport {
    /// Adds what came of an ingest that followed.
    pub(super) fn add(&mut self, after: Self) {
        self.changed.extend(after.changed);
        self.changed.sort_unstable();
        self.changed.dedup();
        self.taken += after.taken;
        self.held += after.held;
        self.waiting += after.waiting;
        self.quarantined += after.quarantined;
        self.refused += after.refused;
        self.set_aside += after.set_aside;
        self.membership_changed |= after.membership_changed;
        self.cursor = after.cursor.or(self.cursor);
    }
}

/// Where an ingest stopped. Everything before is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// The batch's offset.
    pub offset: u64,
    /// The batch.
    pub batch: BatchId,
    /// Why.
    pub by: StoppedBy,
}

/// Why a batch can neither be taken nor passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoppedBy {
    /// Batches of its chain before it are missing.
    #[error("its chain is held up to {held}, and it is number {found}")]
    Gap {
        /// The chain's height here.
        held: u64,
        /// The batch's place in the chain.
        found: u64,
    },
    /// It does not continue the chain that is held.
    #[error("it does not continue its chain, which is held up to {held}")]
    WrongPrevious {
        /// The chain's height here.
        held: u64,
    },
    /// It is of another space.
    #[error("it is of another space")]
    OtherSpace,
    /// It is this database's own and not held here: the file was rolled back or copied.
    #[error("it was written with this database file, which does not hold it")]
    RolledBack,
}

/// Batches cannot be taken in.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The space was not joined.
    #[error("taking in batches: the space {0} was not joined")]
    UnknownSpace(SpaceId),
    /// One batch can neither be taken nor passed over. Those before it are committed; the cursor stays
    /// where it was, for only the log knows what it is in between.
    #[error("taking in batch {:?} at offset {}", stopped.batch, stopped.offset)]
    Stopped {
        /// Where it stopped.
        stopped: Stopped,
        /// What came of the batches before.
        report: Box<IngestReport>,
        /// Why.
        source: StoppedBy,
    },
    /// The database failed; nothing was taken in.
    #[error("taking in batches: the store failed")]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for IngestError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Takes in batches as a relay's log has them, each with its offset, and moves the cursor with
    /// them. On an error in the middle, what came before is kept and the cursor stays.
    pub fn ingest(
        &self,
        space: SpaceId,
        batches: &[(u64, SealedBatch)],
        cursor: Option<Cursor>,
    ) -> Result<IngestReport, IngestError> {
        self.ingest_noted(space, batches, cursor)
    }

    /// Takes batches in, in one transaction.
    pub(super) fn ingest_together(
        &self,
        space: SpaceId,
        batches: &[(u64, SealedBatch)],
        cursor: Option<Cursor>,
    ) -> Result<IngestReport, IngestError> {
        let take = |ahead| {
            self.inner.transaction(|writing| {
                let number = space::number(writing.transaction, space)?;
                let number = number.ok_or(IngestError::UnknownSpace(space))?;
                let mut ingest = Ingest::new(writing, number, space);
                let stopped = ingest.take_all(batches, ahead)?;
                ingest.finish(cursor.filter(|_| stopped.is_none()))?;
                Ok::<_, IngestError>((ingest.end()?, stopped))
            })
        };
        let sealed = batches.iter().map(|(_, batch)| batch);
        let (report, stopped) = read_ahead(sealed, self.inner.kinds(), take)?;
        match stopped {
            None => Ok(report),
            Some((index, by)) => {
                let (offset, batch) = &batches[index];
                let stopped = Stopped { offset: *offset, batch: batch.id(), by };
                Err(IngestError::Stopped { stopped, report: Box::new(report), source: by })
            }
        }
    }

    /// Keeps a batch that this version cannot read ([`keeps_unread`](crate::batch::BatchError::keeps_unread)), for an update to
    /// read, and moves the cursor past it.
    pub fn keep_unread(
        &self,
        space: SpaceId,
        offset: u64,
        bytes: &[u8],
        cursor: Option<Cursor>,
    ) -> Result<(), IngestError> {
        self.inner.transaction(|writing| {
            let number = space::number(writing.transaction, space)?;
            let number = number.ok_or(IngestError::UnknownSpace(space))?;
            if let Some(id) = unread_id(bytes) {
                let sql = "INSERT INTO unread (batch, space, log_offset, bytes) VALUES (?1, ?2, ?3, ?4)
                    ON CONFLICT DO NOTHING";
                writing.transaction.execute(sql, (id.as_bytes(), number, offset as i64, bytes))?;
            }
            if let Some(cursor) = cursor {
                space::set_cursor(writing.transaction, number, Some(cursor))?;
            }
            Ok(())
        })
    }

    /// Reads what an earlier version of this program could not read or judge.
    pub(super) fn read_unread(&self) -> Result<(), StoreError> {
        for (space, offset, bytes) in self.inner.read(unread)? {
            let Ok(batch) = SealedBatch::parse(bytes) else { continue };
            let id = batch.id();
            match self.ingest(space, &[(offset as u64, batch)], None) {
                // What stopped it now may be gone at the next opening.
                Err(IngestError::Stopped { .. } | IngestError::UnknownSpace(_)) => continue,
                Err(IngestError::Store(error)) => return Err(error),
                Ok(_) => {}
            }
            self.inner.transaction(|writing| {
                let sql = "DELETE FROM unread WHERE batch = ?1";
                writing.transaction.execute(sql, [id.as_bytes()])?;
                Ok::<_, StoreError>(())
            })?;
        }
        for (number, space) in self.inner.read(spaces_with_waiting)? {
            self.inner.transaction(|writing| {
                let mut ingest = Ingest::new(writing, number, space);
                ingest.retry_batches()?;
                ingest.finish(None)
            })?;
        }
        Ok(())
    }
}

fn unread(connection: &Connection) -> Result<Vec<(SpaceId, i64, Vec<u8>)>, StoreError> {
    let sql = "SELECT s.space, u.log_offset, u.bytes FROM unread u JOIN space s ON s.id = u.space
        ORDER BY u.log_offset";
    let mut statement = connection.prepare(sql)?;
    let rows =
        statement.query_map([], |row| Ok((SpaceId::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn spaces_with_waiting(connection: &Connection) -> Result<Vec<(i64, SpaceId)>, StoreError> {
    let sql =
        "SELECT DISTINCT s.id, s.space FROM batch b INDEXED BY batch_waiting JOIN chain c ON c.id = b.chain
        JOIN space s ON s.id = c.space WHERE b.state > 0 AND b.state < 3";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, SpaceId::from_bytes(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests;
