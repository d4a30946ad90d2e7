//! Batch after batch: held, next in its chain, judged, stored, and its entries put into rows.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::{EntryRefusal, IngestReport, StoppedBy};
use crate::batch::{BatchKind, Body, BodyEntry, Entry, Header, SealedBatch};
use crate::control::{Membership, RefuseReason, Verdict};
use crate::id::{BatchId, SpaceId};
use crate::position::Cursor;
use crate::store::chain::{self, ChainKey};
use crate::store::error::StoreError;
use crate::store::merge::{Outcome, Place, Target};
use crate::store::observe::{Changed, TRACK};
use crate::store::{Writing, space, track};

/// A batch in the table that was read.
const READ: u8 = 0;
/// A batch in the table that waits for control records about its author.
const WAITS: u8 = 1;
/// A batch in the table that a newer version of this program will read.
pub(super) const UNREAD: u8 = 2;

/// What becomes of one batch.
enum Step {
    Taken,
    Held,
    Waits,
    Refused,
    Stops(StoppedBy),
}

/// One ingest within its transaction.
pub(super) struct Ingest<'a, 'b> {
    writing: &'a mut Writing<'b>,
    number: i64,
    space: SpaceId,
    membership: Arc<Membership>,
    now: i64,
    report: IngestReport,
}

impl<'a, 'b> Ingest<'a, 'b> {
    pub(super) fn new(writing: &'a mut Writing<'b>, number: i64, space: SpaceId) -> Self {
        let membership = writing.inner.membership(space);
        let now = writing.inner.now().as_millis();
        Self { writing, number, space, membership, now, report: IngestReport::default() }
    }

    /// Takes batch after batch, and says at which it had to stop.
    pub(super) fn take_all(
        &mut self,
        batches: &[(u64, SealedBatch)],
    ) -> Result<Option<(usize, StoppedBy)>, StoreError> {
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
        if is_own && header.incarnation == inner.incarnation() {
            return Ok(Step::Stops(StoppedBy::RolledBack));
        }
        if let Err(error) = batch.verify_signature() {
            return self.refuse(offset, batch.id(), Verdict::from(error));
        }
        self.writing.give_way(self.number, header, batch.id())?;
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
            // Kept unapplied, as what waits is: an adopt may let it stand.
            Verdict::RetryLater(_) | Verdict::Quarantined(_) => {
                self.insert(offset, batch, WAITS)?;
                Ok(Step::Waits)
            }
            verdict @ Verdict::Refused(_) => self.refuse(offset, batch.id(), verdict),
        }
    }

    /// Judges the author, and takes in what a control batch says.
    fn judge(&mut self, batch: &SealedBatch, body: &Body) -> Verdict {
        if batch.header().kind != BatchKind::Control {
            return self.membership.verdict(batch.header(), batch.id());
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

    fn is_unread(&self, batch: BatchId) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM unread WHERE batch = ?1)
            OR EXISTS (SELECT 1 FROM set_aside WHERE batch = ?1)";
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
        if self.is_unread(header.prev)? {
            // What only a newer program can read must not hold up what this one can.
            return Ok(Ok(()));
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
    pub(super) fn insert(
        &mut self,
        offset: u64,
        batch: &SealedBatch,
        state: u8,
    ) -> Result<(i64, i64), StoreError> {
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
                    if outcome == Outcome::Held {
                        self.writing.find_orphan_track(self.space, header, chunk.id)?;
                    }
                    if outcome == Outcome::Applied {
                        let (space, kind) = (self.space, TRACK.to_owned());
                        self.writing.changed.push(Changed { space, kind, id: chunk.patrol });
                    }
                    outcome
                }
                Entry::Unreadable { .. } => Outcome::Refused(EntryRefusal::Malformed),
                Entry::Ancestor(_) | Entry::Control(_) | Entry::Unknown { .. } => continue,
            };
            if let Outcome::Refused(refusal) = outcome {
                self.writing.refuse_entry(batch, index, refusal)?;
            }
        }
        Ok(())
    }

    /// After the last batch: what waited is tried again, rows are written, the cursor moves.
    pub(super) fn finish(&mut self, cursor: Option<Cursor>) -> Result<(), StoreError> {
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
    pub(super) fn retry_batches(&mut self) -> Result<(), StoreError> {
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

    pub(super) fn end(mut self) -> Result<IngestReport, StoreError> {
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
