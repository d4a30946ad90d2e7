//! Taking in what others recorded.
//!
//! A batch's signature is verified, its author judged by the control records held, and its entries
//! go into rows, in one transaction with the cursor. Whatever order batches come in, and however
//! often, the rows are the same: an entry that builds on what is not here waits for it, a batch of
//! an unknown author waits for the control records about it, and a bad entry is refused alone.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::chain::{self, ChainKey};
use super::error::StoreError;
use super::merge::{Outcome, Place, Target};
use super::observe::{Changed, TRACK};
use super::{Store, Writing, space, track};
use crate::batch::{BatchKind, Body, BodyEntry, Entry, Header, SealedBatch, unread_id};
use crate::control::{Membership, RefuseReason, Verdict};
use crate::document::scan;
use crate::id::{BatchId, ChainId, RecordId, SpaceId};
use crate::position::Cursor;

/// A batch in the table that was read.
const READ: u8 = 0;
/// A batch in the table that waits for control records about its author.
const WAITS: u8 = 1;
/// A batch in the table that a newer version of this program will read.
const UNREAD: u8 = 2;

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
    /// Batches that wait for control records about their author.
    pub waiting: u32,
    /// Batches refused, each with its reason in the store.
    pub refused: u32,
    /// Who belongs to the space is not what it was.
    pub membership_changed: bool,
    /// How far the log is held now.
    pub cursor: Option<Cursor>,
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
    /// One batch can neither be taken nor passed over. Those before it are committed, and the cursor
    /// stands before it.
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
    /// them. On an error in the middle, what came before is kept and the cursor stands there.
    pub fn ingest(
        &self,
        space: SpaceId,
        batches: &[(u64, SealedBatch)],
        cursor: Option<Cursor>,
    ) -> Result<IngestReport, IngestError> {
        let (report, stopped) = self.inner.transaction(|writing| {
            let number = space::number(writing.transaction, space)?;
            let number = number.ok_or(IngestError::UnknownSpace(space))?;
            let mut ingest = Ingest::new(writing, number, space);
            let stopped = ingest.take_all(batches)?;
            let cursor = match stopped {
                None => cursor,
                Some((index, _)) => cursor.and_then(|cursor| before(batches, index, cursor)),
            };
            ingest.finish(cursor)?;
            Ok::<_, IngestError>((ingest.end()?, stopped))
        })?;
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
        JOIN space s ON s.id = c.space WHERE b.state > 0";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, SpaceId::from_bytes(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The cursor that stands right before one of the batches.
fn before(batches: &[(u64, SealedBatch)], index: usize, cursor: Cursor) -> Option<Cursor> {
    let (offset, batch) = batches.get(index.checked_sub(1)?)?;
    Some(Cursor { offset: *offset, batch: batch.id(), ..cursor })
}

/// What becomes of one batch.
enum Step {
    Taken,
    Held,
    Waits,
    Refused,
    Stops(StoppedBy),
}

/// One ingest within its transaction.
struct Ingest<'a, 'b> {
    writing: &'a mut Writing<'b>,
    number: i64,
    space: SpaceId,
    membership: Arc<Membership>,
    now: i64,
    report: IngestReport,
}

impl<'a, 'b> Ingest<'a, 'b> {
    fn new(writing: &'a mut Writing<'b>, number: i64, space: SpaceId) -> Self {
        let membership = writing.inner.membership(space);
        let now = writing.inner.now().as_millis();
        Self { writing, number, space, membership, now, report: IngestReport::default() }
    }

    /// Takes batch after batch, and says at which it had to stop.
    fn take_all(&mut self, batches: &[(u64, SealedBatch)]) -> Result<Option<(usize, StoppedBy)>, StoreError> {
        for (index, (offset, batch)) in batches.iter().enumerate() {
            match self.take(*offset, batch)? {
                Step::Taken => self.report.taken += 1,
                Step::Held => self.report.held += 1,
                Step::Waits => self.report.waiting += 1,
                Step::Refused => self.report.refused += 1,
                Step::Stops(by) => return Ok(Some((index, by))),
            }
        }
        Ok(None)
    }

    fn take(&mut self, offset: u64, batch: &SealedBatch) -> Result<Step, StoreError> {
        let header = batch.header();
        if header.space != self.space {
            return Ok(Step::Stops(StoppedBy::OtherSpace));
        }
        if self.is_held(offset, batch.id())? {
            return Ok(Step::Held);
        }
        let inner = self.writing.inner;
        let is_own = inner.identity().is_some_and(|own| own.device() == header.device);
        if is_own && header.incarnation == inner.incarnation {
            return Ok(Step::Stops(StoppedBy::RolledBack));
        }
        if let Err(error) = batch.verify_signature() {
            return self.refuse(offset, batch.id(), Verdict::from(error));
        }
        match self.place_in_chain(header, batch.id())? {
            Err(Step::Refused) => return self.refuse(offset, batch.id(), fork()),
            Err(step) => return Ok(step),
            Ok(()) => {}
        }
        match batch.open() {
            Ok(body) => self.take_opened(offset, batch, &body),
            Err(error) if error.keeps_unread() => {
                self.insert(offset, batch, UNREAD)?;
                Ok(Step::Taken)
            }
            Err(error) => self.refuse(offset, batch.id(), Verdict::from(error)),
        }
    }

    fn take_opened(&mut self, offset: u64, batch: &SealedBatch, body: &Body) -> Result<Step, StoreError> {
        match self.judge(batch, body) {
            Verdict::Accepted => {
                let (row, chain) = self.insert(offset, batch, READ)?;
                self.take_entries(row, chain, batch.header(), body)?;
                Ok(Step::Taken)
            }
            Verdict::RetryLater(_) => {
                self.insert(offset, batch, WAITS)?;
                Ok(Step::Waits)
            }
            verdict @ Verdict::Refused(_) => self.refuse(offset, batch.id(), verdict),
        }
    }

    /// Judges the author, and takes in what a control batch says.
    fn judge(&mut self, batch: &SealedBatch, body: &Body) -> Verdict {
        if batch.header().kind != BatchKind::Control {
            return self.membership.verdict(batch.header());
        }
        let verdict = Arc::make_mut(&mut self.membership).apply_batch(batch, body);
        self.report.membership_changed |= verdict == Verdict::Accepted;
        verdict
    }

    /// Whether the batch is here, or was refused. One of this device's own that comes from the log
    /// is thereby known to be in it.
    fn is_held(&mut self, offset: u64, batch: BatchId) -> Result<bool, StoreError> {
        let transaction = self.writing.transaction;
        let held: Option<(i64, bool, Option<i64>)> = transaction
            .prepare_cached("SELECT id, acknowledged, log_offset FROM batch WHERE batch = ?1")?
            .query_row([batch.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((row, acknowledged, log_offset)) = held else { return self.is_refused(batch) };
        if !acknowledged || log_offset != Some(offset as i64) {
            transaction
                .prepare_cached("UPDATE batch SET acknowledged = 1, log_offset = ?2 WHERE id = ?1")?
                .execute((row, offset as i64))?;
            self.writing.set_delivered(row)?;
        }
        Ok(true)
    }

    fn is_refused(&self, batch: BatchId) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM refused_batch WHERE batch = ?1)";
        Ok(self.writing.transaction.prepare_cached(sql)?.query_row([batch.as_bytes()], |row| row.get(0))?)
    }

    /// Whether the batch is next in its chain; otherwise what becomes of it.
    fn place_in_chain(&self, header: &Header, batch: BatchId) -> Result<Result<(), Step>, StoreError> {
        let chain = chain::find(self.writing.transaction, self.number, &key_of(header))?;
        let (held, head) =
            chain.map_or((0, BatchId::from_bytes([0; 32])), |chain| (chain.height, chain.head));
        if header.seq == held + 1 && header.prev == head {
            return Ok(Ok(()));
        }
        if let Some(chain) = chain.filter(|chain| header.seq <= chain.height) {
            let stands = self.stands_in(chain.id, header.seq)?;
            // A place that was passed over is filled; at any other a batch stands already.
            return Ok(if stands.is_none_or(|stands| stands == batch) { Ok(()) } else { Err(Step::Refused) });
        }
        if self.is_refused(header.prev)? {
            return Ok(Err(Step::Refused));
        }
        if self.writing.inner.identity().is_none() && header.seq > held + 1 {
            // A replica reads a log whose relay has checked every chain: a batch that the replica
            // itself had to set aside must not hold up what follows it.
            return Ok(Ok(()));
        }
        Ok(Err(Step::Stops(if header.seq > held + 1 {
            StoppedBy::Gap { held, found: header.seq }
        } else {
            StoppedBy::WrongPrevious { held }
        })))
    }

    fn stands_in(&self, chain: i64, seq: u64) -> Result<Option<BatchId>, StoreError> {
        Ok(self
            .writing
            .transaction
            .prepare_cached("SELECT batch FROM batch WHERE chain = ?1 AND seq = ?2")?
            .query_row((chain, seq as i64), |row| row.get(0).map(BatchId::from_bytes))
            .optional()?)
    }

    fn refuse(&mut self, offset: u64, batch: BatchId, verdict: Verdict) -> Result<Step, StoreError> {
        let reason = match verdict {
            Verdict::Refused(reason) => reason,
            _ => RefuseReason::Malformed,
        };
        tracing::warn!(%batch, %reason, "a batch is refused");
        let sql = "INSERT INTO refused_batch (batch, space, log_offset, code, received_at)
            VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
        let values = (batch.as_bytes(), self.number, offset as i64, reason.code(), self.now);
        self.writing.transaction.prepare_cached(sql)?.execute(values)?;
        Ok(Step::Refused)
    }

    /// Stores a batch; gives its number and its chain's.
    fn insert(&mut self, offset: u64, batch: &SealedBatch, state: u8) -> Result<(i64, i64), StoreError> {
        let header = batch.header();
        let transaction = self.writing.transaction;
        let organisation = space::organisation_of(&self.membership, header.device);
        let chain = chain::find_or_insert(transaction, self.number, &key_of(header), organisation)?;
        let sql =
            "INSERT INTO batch (batch, chain, seq, log_offset, received_at, acknowledged, state, control,
                entries, bytes)
            VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8, ?9)";
        transaction.prepare_cached(sql)?.execute((
            batch.id().as_bytes(),
            chain.id,
            header.seq as i64,
            offset as i64,
            self.now,
            state,
            header.kind == BatchKind::Control,
            header.count,
            batch.as_bytes(),
        ))?;
        let row = transaction.last_insert_rowid();
        if header.seq > chain.height {
            chain::set_height(transaction, chain.id, header.seq, batch.id())?;
        }
        Ok((row, chain.id))
    }

    /// Puts the entries of an accepted batch into rows.
    fn take_entries(
        &mut self,
        batch: i64,
        chain: i64,
        header: &Header,
        body: &Body,
    ) -> Result<(), StoreError> {
        for (index, entry) in (0..).zip(&body.entries) {
            // What was erased is gone, and what a newer version wrote stays in its batch.
            let BodyEntry::Present { entry, .. } = entry else { continue };
            let outcome = match entry {
                Entry::Change(change) => {
                    let target = Target {
                        space: self.number,
                        space_id: self.space,
                        kind: &change.kind,
                        record: change.record,
                    };
                    let place = Place::Batch { batch, entry: index };
                    self.writing.take_change(&target, chain, header.chain(), &change.change, place)?
                }
                Entry::Track(chunk) => {
                    let Ok(body) = chunk.to_bytes() else { continue };
                    let outcome = track::insert(self.writing.transaction, self.number, chain, chunk, &body)?;
                    if outcome == Outcome::Applied {
                        let (space, kind) = (self.space, TRACK.to_owned());
                        self.writing.changed.push(Changed { space, kind, id: chunk.patrol });
                    }
                    outcome
                }
                Entry::Unreadable { .. } => Outcome::Refused(EntryRefusal::Malformed),
                Entry::Control(_) | Entry::Unknown { .. } => continue,
            };
            if let Outcome::Refused(refusal) = outcome {
                self.writing.refuse_entry(batch, index, refusal)?;
            }
        }
        Ok(())
    }

    /// After the last batch: what waited is tried again, rows are written, the cursor moves.
    fn finish(&mut self, cursor: Option<Cursor>) -> Result<(), StoreError> {
        if self.report.membership_changed {
            self.retry_batches()?;
            space::set_organisations(self.writing.transaction, self.number, &self.membership)?;
            self.writing.membership = Some((self.space, Arc::clone(&self.membership)));
        }
        self.writing.retry_entries()?;
        self.writing.flush()?;
        if cursor.is_some() {
            space::set_cursor(self.writing.transaction, self.number, cursor)?;
        }
        Ok(())
    }

    /// Tries the batches that wait, or that an earlier version could not read, until no more is
    /// accepted.
    fn retry_batches(&mut self) -> Result<(), StoreError> {
        loop {
            let mut accepted = 0;
            for (row, chain, bytes) in self.waiting_batches()? {
                let batch = SealedBatch::parse(bytes);
                let batch = batch.map_err(|_| StoreError::Unreadable("a batch that waits"))?;
                let Ok(body) = batch.open() else { continue };
                if self.judge(&batch, &body) == Verdict::Accepted {
                    self.writing.set_batch_read(row)?;
                    self.take_entries(row, chain, batch.header(), &body)?;
                    accepted += 1;
                }
            }
            if accepted == 0 {
                return Ok(());
            }
        }
    }

    /// The batches that are held and not read: number, chain and bytes.
    fn waiting_batches(&self) -> Result<Vec<(i64, i64, Vec<u8>)>, StoreError> {
        let sql = "SELECT b.id, b.chain, b.bytes FROM batch b INDEXED BY batch_waiting JOIN chain c ON c.id = b.chain
            WHERE b.state > 0 AND c.space = ?1 ORDER BY b.id";
        let mut statement = self.writing.transaction.prepare_cached(sql)?;
        let rows = statement.query_map([self.number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn end(mut self) -> Result<IngestReport, StoreError> {
        let mut changed = self.writing.changed.clone();
        changed.sort_unstable();
        changed.dedup();
        self.report.changed = changed;
        self.report.cursor = space::cursor(self.writing.transaction, self.number)?;
        Ok(self.report)
    }
}

fn fork() -> Verdict {
    Verdict::Refused(RefuseReason::Fork)
}

fn key_of(header: &Header) -> ChainKey {
    let Header { device, incarnation, space, lane, .. } = *header;
    ChainKey { device, incarnation, space, lane }
}

/// A record that entries wait for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WaitingFor {
    space: i64,
    space_id: SpaceId,
    kind: String,
    record: RecordId,
}

/// One entry that waits.
struct WaitingEntry {
    chain: i64,
    seq: i64,
    batch: i64,
    entry: u32,
}

impl Writing<'_> {
    /// Takes one change of a batch in, or lets it wait.
    fn take_change(
        &mut self,
        target: &Target<'_>,
        chain: i64,
        author: ChainId,
        raw: &[u8],
        place: Place,
    ) -> Result<Outcome, StoreError> {
        if target.kind == TRACK {
            return Ok(Outcome::Refused(EntryRefusal::ReservedKind));
        }
        let Ok(change) = scan(raw) else { return Ok(Outcome::Refused(EntryRefusal::Malformed)) };
        if change.actor != author.actor() {
            return Ok(Outcome::Refused(EntryRefusal::WrongAuthor));
        }
        let outcome = self.apply(target, chain, &change, raw, place)?;
        match outcome {
            Outcome::Applied if self.has_waiting()? => {
                self.retry.insert(WaitingFor {
                    space: target.space,
                    space_id: target.space_id,
                    kind: target.kind.to_owned(),
                    record: target.record,
                });
            }
            Outcome::Waits => return self.let_wait(target, chain, &change, place),
            _ => {}
        }
        Ok(outcome)
    }

    fn let_wait(
        &mut self,
        target: &Target<'_>,
        chain: i64,
        change: &crate::document::Change,
        place: Place,
    ) -> Result<Outcome, StoreError> {
        let Place::Batch { batch, entry } = place else {
            return Err(StoreError::Unreadable("a change recorded here without what it builds on"));
        };
        let key = (target.space, target.kind, target.record.as_bytes(), chain, change.seq as i64);
        let sql = "SELECT hash FROM waiting_entry
            WHERE space = ?1 AND kind = ?2 AND record = ?3 AND chain = ?4 AND seq = ?5";
        let held: Option<[u8; 32]> =
            self.transaction.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?;
        match held {
            Some(hash) if hash == *change.hash.as_bytes() => return Ok(Outcome::Held),
            Some(_) => return Ok(Outcome::Refused(EntryRefusal::SequenceReused)),
            None => {}
        }
        let sql = "INSERT INTO waiting_entry (space, kind, record, chain, seq, hash, batch, entry)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.transaction.prepare_cached(sql)?.execute((
            key.0,
            key.1,
            key.2,
            key.3,
            key.4,
            change.hash.as_bytes(),
            batch,
            entry,
        ))?;
        self.has_waiting = Some(true);
        Ok(Outcome::Waits)
    }

    /// Whether any entry waits at all: nearly never, and then nothing is looked up.
    fn has_waiting(&mut self) -> Result<bool, StoreError> {
        if let Some(has_waiting) = self.has_waiting {
            return Ok(has_waiting);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM waiting_entry)";
        let has_waiting = self.transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        self.has_waiting = Some(has_waiting);
        Ok(has_waiting)
    }

    /// Tries what waits for the records that something arrived for.
    fn retry_entries(&mut self) -> Result<(), StoreError> {
        for record in std::mem::take(&mut self.retry) {
            let target = Target {
                space: record.space,
                space_id: record.space_id,
                kind: &record.kind,
                record: record.record,
            };
            while self.retry_once(&target)? {}
        }
        Ok(())
    }

    /// Tries every entry that waits for a record once; says whether one found its place.
    fn retry_once(&mut self, target: &Target<'_>) -> Result<bool, StoreError> {
        let mut progress = false;
        for waiting in self.waiting_for(target)? {
            let place = Place::Batch { batch: waiting.batch, entry: waiting.entry };
            let raw = self.inner.change_at(self.transaction, place)?;
            let change = scan(&raw).map_err(|_| StoreError::Unreadable("a change that waits"))?;
            let outcome = self.apply(target, waiting.chain, &change, &raw, place)?;
            if outcome == Outcome::Waits {
                continue;
            }
            if let Outcome::Refused(refusal) = outcome {
                self.refuse_entry(waiting.batch, waiting.entry, refusal)?;
            }
            let sql = "DELETE FROM waiting_entry
                WHERE space = ?1 AND kind = ?2 AND record = ?3 AND chain = ?4 AND seq = ?5";
            let key = (target.space, target.kind, target.record.as_bytes(), waiting.chain, waiting.seq);
            self.transaction.prepare_cached(sql)?.execute(key)?;
            progress = true;
        }
        Ok(progress)
    }

    fn waiting_for(&self, target: &Target<'_>) -> Result<Vec<WaitingEntry>, StoreError> {
        let sql = "SELECT chain, seq, batch, entry FROM waiting_entry
            WHERE space = ?1 AND kind = ?2 AND record = ?3 ORDER BY chain, seq";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let key = (target.space, target.kind, target.record.as_bytes());
        let rows = statement.query_map(key, |row| {
            Ok(WaitingEntry { chain: row.get(0)?, seq: row.get(1)?, batch: row.get(2)?, entry: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn set_batch_read(&self, batch: i64) -> Result<(), StoreError> {
        self.transaction.prepare_cached("UPDATE batch SET state = 0 WHERE id = ?1")?.execute([batch])?;
        Ok(())
    }

    fn refuse_entry(&self, batch: i64, entry: u32, refusal: EntryRefusal) -> Result<(), StoreError> {
        tracing::warn!(batch, entry, ?refusal, "an entry is refused");
        let sql = "INSERT INTO refused_entry (batch, entry, code) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.transaction.prepare_cached(sql)?.execute((batch, entry, refusal as u8))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
