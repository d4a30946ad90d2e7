//! Batch after batch: held, next in its chain, judged, stored, and its entries put into rows.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::ahead::{Ahead, First, Read};
use super::{AHEAD, EntryRefusal, FORK, IngestReport, READ, StoppedBy, UNREAD, WAITS};
use crate::batch::{BatchKind, Body, BodyEntry, Entry, Header, SealedBatch};
use crate::control::{Membership, QuarantineReason, RefuseReason, RetryReason, Verdict};
use crate::id::{BatchId, SpaceId};
use crate::position::Cursor;
use crate::store::chain::{self, ChainKey};
use crate::store::error::StoreError;
use crate::store::held::{Author, EntryPlace};
use crate::store::merge::Outcome;
use crate::store::observe::{Changed, TRACK};
use crate::store::{Writing, erase, space, track};

/// What becomes of one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Taken,
    Held,
    Waits,
    Quarantined(QuarantineReason),
    Refused(RefuseReason),
    Stops(StoppedBy),
}

/// Where a batch goes in its chain.
enum Placing {
    /// Behind the last one that stands, and nothing else is to be considered.
    Next,
    /// Somewhere among others: all of them together say which stand.
    Among,
    /// Behind something that is not here, and that must not hold it up.
    BehindHole,
    /// It is one of control, and counts before what comes before it is here.
    Ahead,
    Refused(RefuseReason),
    Stops(StoppedBy),
}

/// A batch that was not read, or that does not stand.
struct WaitingBatch {
    row: i64,
    chain: i64,
    state: u8,
    bytes: Vec<u8>,
}

/// One ingest within its transaction.
pub(in crate::store) struct Ingest<'a, 'b> {
    pub(in crate::store) writing: &'a mut Writing<'b>,
    pub(in crate::store) number: i64,
    pub(in crate::store) space: SpaceId,
    pub(in crate::store) membership: Arc<Membership>,
    /// Who belonged to the space when the ingest began.
    before: Arc<Membership>,
    /// Control batches that do not stand, of which every statement was taken.
    heard: BTreeSet<i64>,
    now: i64,
    pub(super) report: IngestReport,
}

impl<'a, 'b> Ingest<'a, 'b> {
    pub(super) fn new(writing: &'a mut Writing<'b>, number: i64, space: SpaceId) -> Self {
        let membership = writing.inner.membership(space);
        let before = Arc::clone(&membership);
        let now = writing.inner.now().as_millis();
        let (heard, report) = (BTreeSet::new(), IngestReport::default());
        Self { writing, number, space, membership, before, heard, now, report }
    }

    /// Takes batch after batch, and says at which it had to stop.
    pub(super) fn take_all(
        &mut self,
        batches: &[(u64, SealedBatch)],
        mut ahead: Ahead,
    ) -> Result<Option<(usize, StoppedBy)>, StoreError> {
        for (index, (offset, batch)) in batches.iter().enumerate() {
            let mut read = ahead.next();
            if let Step::Stops(by) = self.take(Some(*offset), batch, &mut read)? {
                return Ok(Some((index, by)));
            }
            ahead.give_back(read);
        }
        Ok(None)
    }

    /// Takes one batch, with its offset if it comes from the relay's log, and as it was read if it was.
    pub(super) fn take(
        &mut self,
        offset: Option<u64>,
        batch: &SealedBatch,
        read: &mut Option<Read>,
    ) -> Result<Step, StoreError> {
        let step = self.take_in(offset, batch, read)?;
        match step {
            Step::Taken => self.report.taken += 1,
            Step::Held => self.report.held += 1,
            Step::Waits => self.report.waiting += 1,
            Step::Quarantined(_) => self.report.quarantined += 1,
            Step::Refused(_) => self.report.refused += 1,
            Step::Stops(_) => {}
        }
        Ok(step)
    }

    fn take_in(
        &mut self,
        offset: Option<u64>,
        batch: &SealedBatch,
        read: &mut Option<Read>,
    ) -> Result<Step, StoreError> {
        let header = batch.header();
        if header.space != self.space {
            return Ok(Step::Stops(StoppedBy::OtherSpace));
        }
        if self.is_held(offset, batch.id())? {
            if offset.is_some() && self.is_own(header) {
                self.let_logged_stand(header, batch.id())?;
            }
            return Ok(Step::Held);
        }
        if self.is_own(header) && header.incarnation == self.writing.inner.incarnation() {
            return Ok(Step::Stops(StoppedBy::RolledBack));
        }
        let Read { body, firsts } = read.get_or_insert_with(|| Read::of(batch, self.writing.inner.kinds()));
        let body = match body {
            Err(error) => return self.refuse(offset, batch.id(), Verdict::from(*error)),
            Ok(body) => body.as_ref(),
        };
        if self.is_own(header) && (offset.is_some() || self.is_before_own(header, batch.id())?) {
            self.writing.give_way(self.number, header, batch.id())?;
        }
        let placing = self.place_in_chain(offset.is_some(), header, batch.id())?;
        let (batch, body) = self.without_erased(batch, body)?;
        let verdict = body.as_deref().map(|body| self.judge(&batch, body));
        if let Some(verdict @ Verdict::Refused(_)) = verdict {
            return self.refuse(offset, batch.id(), verdict);
        }
        match placing {
            Placing::Next => self.take_next(offset, &batch, body.as_deref(), firsts, verdict),
            Placing::BehindHole => {
                let step = self.take_next(offset, &batch, body.as_deref(), firsts, verdict)?;
                if !self.is_bounded(batch.header()) {
                    return Ok(step);
                }
                let key = key_of(batch.header());
                let chain = chain::find_or_insert(self.writing.transaction, self.number, &key, None)?;
                self.settle_chain(chain.id, &key)?;
                self.step_of_batch(batch.id())
            }
            Placing::Among => self.take_among(offset, &batch, body.as_deref(), FORK),
            Placing::Ahead => {
                self.take_among(offset, &batch, body.as_deref(), AHEAD)?;
                let waits = matches!(verdict, Some(Verdict::RetryLater(_)));
                Ok(if waits { Step::Waits } else { Step::Taken })
            }
            Placing::Refused(reason) => self.refuse(offset, batch.id(), Verdict::Refused(reason)),
            Placing::Stops(by) => Ok(Step::Stops(by)),
        }
    }

    fn take_next(
        &mut self,
        offset: Option<u64>,
        batch: &SealedBatch,
        body: Option<&Body>,
        firsts: &[Option<First>],
        verdict: Option<Verdict>,
    ) -> Result<Step, StoreError> {
        let (state, step) = match verdict {
            None => (UNREAD, Step::Taken),
            Some(Verdict::RetryLater(_)) => (WAITS, Step::Waits),
            Some(_) => (READ, Step::Taken),
        };
        let (row, chain) = self.insert(offset, batch, state)?;
        if offset.is_some() && self.is_own(batch.header()) {
            // The relay sent nothing of it while this file had that name, and the cursor has passed it.
            self.writing.acknowledge_before(chain, batch.header().seq as i64)?;
        }
        if let (READ, Some(body)) = (state, body) {
            self.take_entries(row, chain, batch.header(), body, firsts)?;
        }
        Ok(step)
    }

    /// Stores a batch beside what stands, and then finds out what stands.
    fn take_among(
        &mut self,
        offset: Option<u64>,
        batch: &SealedBatch,
        body: Option<&Body>,
        state: u8,
    ) -> Result<Step, StoreError> {
        let (row, chain) = self.insert(offset, batch, state)?;
        if let Some(body) = body {
            self.note_entries(row, chain, batch.header(), body)?;
        }
        self.settle_chain(chain, &key_of(batch.header()))?;
        self.step_of(row)
    }

    /// Judges the author, and takes in what a control batch says. Whether a batch stands is not decided
    /// here: a device that is known may write, up to where its chain stands.
    pub(super) fn judge(&mut self, batch: &SealedBatch, body: &Body) -> Verdict {
        let has_erased = body.entries.iter().any(|entry| matches!(entry, BodyEntry::Erased { .. }));
        if batch.header().kind != BatchKind::Control {
            return match self.membership.verdict(batch.header(), batch.id()) {
                // Beside no signed decision nothing may be missing.
                Verdict::Accepted | Verdict::Quarantined(_)
                    if has_erased && !self.membership.has_erasures() =>
                {
                    Verdict::RetryLater(RetryReason::UnknownControl)
                }
                Verdict::Quarantined(_) => Verdict::Accepted,
                verdict => verdict,
            };
        }
        if has_erased {
            return Verdict::Refused(RefuseReason::Malformed);
        }
        let verdict = Arc::make_mut(&mut self.membership).apply_batch(batch, body);
        self.report.membership_changed |= verdict == Verdict::Accepted;
        verdict
    }

    pub(super) fn is_own(&self, header: &Header) -> bool {
        self.writing.inner.identity().is_some_and(|own| own.device() == header.device)
    }

    /// Whether not all of the chain may stand.
    fn is_bounded(&self, header: &Header) -> bool {
        self.membership.is_revoked(header.device) && !self.is_own(header)
    }

    /// Whether the batch is here, or was refused. One that comes from the log is thereby known to be
    /// in it.
    fn is_held(&mut self, offset: Option<u64>, batch: BatchId) -> Result<bool, StoreError> {
        let transaction = self.writing.transaction;
        let held: Option<(i64, u8, Option<i64>)> = transaction
            .prepare_cached("SELECT id, acknowledged, log_offset FROM batch WHERE batch = ?1")?
            .query_row([batch.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((row, acknowledged, log_offset)) = held else {
            return Ok(offset.is_some() && self.is_refused(batch)?);
        };
        let Some(offset) = offset else { return Ok(true) };
        if acknowledged != 1 || log_offset != Some(offset as i64) {
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

    /// Where the batch goes in its chain.
    fn place_in_chain(
        &self,
        is_logged: bool,
        header: &Header,
        batch: BatchId,
    ) -> Result<Placing, StoreError> {
        let chain = chain::find(self.writing.transaction, self.number, &key_of(header))?;
        let (held, head) =
            chain.map_or((0, BatchId::from_bytes([0; 32])), |chain| (chain.height, chain.head));
        let is_bounded = self.is_bounded(header);
        if header.seq == held + 1 && header.prev == head {
            let leads_on = match chain {
                Some(chain) if chain.branched => self.leads_on(chain.id, header.seq, batch)?,
                _ => false,
            };
            return Ok(if is_bounded || leads_on { Placing::Among } else { Placing::Next });
        }
        let Some(chain) = chain else { return self.place_behind_nothing(is_logged, header, held) };
        if header.seq == 1 || self.holds_before(chain.id, header)? {
            return Ok(Placing::Among);
        }
        if header.seq <= held && is_logged && self.stands_in(chain.id, header.seq)?.is_none() {
            // A place that was passed over is filled.
            return Ok(Placing::BehindHole);
        }
        self.place_behind_nothing(is_logged, header, held)
    }

    /// What becomes of a batch whose chain is not held up to it.
    fn place_behind_nothing(
        &self,
        is_logged: bool,
        header: &Header,
        held: u64,
    ) -> Result<Placing, StoreError> {
        if header.kind == BatchKind::Control {
            return Ok(Placing::Ahead);
        }
        if self.is_refused(header.prev)? {
            return Ok(Placing::Refused(RefuseReason::Fork));
        }
        if self.is_unread(header.prev)? {
            // What only a newer program can read must not hold up what this one can.
            return Ok(Placing::BehindHole);
        }
        if is_logged && self.writing.inner.identity().is_none() {
            // A replica reads a log whose relay has checked every chain: a batch that the replica
            // itself had to set aside must not hold up what follows it.
            return Ok(if header.seq > held + 1 { Placing::BehindHole } else { Placing::Among });
        }
        Ok(Placing::Stops(if header.seq > held + 1 {
            StoppedBy::Gap { held, found: header.seq }
        } else {
            StoppedBy::WrongPrevious { held }
        }))
    }

    /// Whether a batch of an own chain would stand before the one that is held in its place. Only where
    /// two branches part does the smaller id decide: one that builds on what does not stand never does.
    fn is_before_own(&self, header: &Header, batch: BatchId) -> Result<bool, StoreError> {
        let Some(chain) = chain::find(self.writing.transaction, self.number, &key_of(header))? else {
            return Ok(false);
        };
        let builds_on_what_stands =
            header.seq == 1 || self.stands_in(chain.id, header.seq - 1)? == Some(header.prev);
        Ok(builds_on_what_stands
            && self.stands_in(chain.id, header.seq)?.is_some_and(|stands| batch < stands))
    }

    /// A peer may bring a batch of an own chain before the log does, and then it lies beside what this
    /// file has in its place. Once the log has it, this file's gives way, as it does to any other.
    fn let_logged_stand(&mut self, header: &Header, batch: BatchId) -> Result<(), StoreError> {
        let key = key_of(header);
        let Some(chain) = chain::find(self.writing.transaction, self.number, &key)? else { return Ok(()) };
        let is_beside =
            chain.branched && self.stands_in(chain.id, header.seq)?.is_some_and(|stands| stands != batch);
        if is_beside {
            self.writing.give_way(self.number, header, batch)?;
            self.settle_chain(chain.id, &key)?;
        }
        Ok(())
    }

    /// Whether the batch before this one is held, standing or not.
    fn holds_before(&self, chain: i64, header: &Header) -> Result<bool, StoreError> {
        let sql =
            "SELECT EXISTS (SELECT 1 FROM batch WHERE batch = ?1 AND chain = ?2 AND seq = ?3 AND state <> 5)";
        let values = (header.prev.as_bytes(), chain, header.seq as i64 - 1);
        Ok(self.writing.transaction.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
    }

    /// Whether something held comes right after this batch.
    fn leads_on(&self, chain: i64, seq: u64, batch: BatchId) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM batch WHERE chain = ?1 AND seq = ?2 AND prev = ?3)";
        let values = (chain, seq as i64 + 1, batch.as_bytes());
        Ok(self.writing.transaction.prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
    }

    fn stands_in(&self, chain: i64, seq: u64) -> Result<Option<BatchId>, StoreError> {
        Ok(self
            .writing
            .transaction
            .prepare_cached("SELECT batch FROM batch WHERE chain = ?1 AND seq = ?2 AND state < 3")?
            .query_row((chain, seq as i64), |row| row.get(0).map(BatchId::from_bytes))
            .optional()?)
    }

    /// Refuses a batch. What did not come from the log is not noted: a batch's id says nothing about its
    /// signature and body, so whoever carries it could spoil it for good.
    fn refuse(&mut self, offset: Option<u64>, batch: BatchId, verdict: Verdict) -> Result<Step, StoreError> {
        let reason = match verdict {
            Verdict::Refused(reason) => reason,
            _ => RefuseReason::Malformed,
        };
        tracing::warn!(%batch, %reason, "a batch is refused");
        if let Some(offset) = offset {
            let sql = "INSERT INTO refused_batch (batch, space, log_offset, code, received_at)
                VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
            let values = (batch.as_bytes(), self.number, offset as i64, reason.code(), self.now);
            self.writing.transaction.prepare_cached(sql)?.execute(values)?;
        }
        Ok(Step::Refused(reason))
    }

    /// Stores a batch; gives its number and its chain's.
    pub(super) fn insert(
        &mut self,
        offset: Option<u64>,
        batch: &SealedBatch,
        state: u8,
    ) -> Result<(i64, i64), StoreError> {
        let header = batch.header();
        let transaction = self.writing.transaction;
        let organisation = space::organisation_of(&self.membership, header.device);
        let chain = chain::find_or_insert(transaction, self.number, &key_of(header), organisation)?;
        let sql =
            "INSERT INTO batch (batch, chain, seq, log_offset, received_at, acknowledged, state, control,
                entries, bytes, prev)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        transaction.prepare_cached(sql)?.execute((
            batch.id().as_bytes(),
            chain.id,
            header.seq as i64,
            offset.map(|offset| offset as i64),
            self.now,
            offset.is_some(),
            state,
            header.kind == BatchKind::Control,
            header.count,
            batch.as_bytes(),
            header.prev.as_bytes(),
        ))?;
        let row = transaction.last_insert_rowid();
        if state < FORK && header.seq > chain.height {
            chain::set_height(transaction, chain.id, header.seq, batch.id())?;
        }
        Ok((row, chain.id))
    }

    /// Puts the entries of an accepted batch into rows.
    pub(super) fn take_entries(
        &mut self,
        batch: i64,
        chain: i64,
        header: &Header,
        body: &Body,
        firsts: &[Option<First>],
    ) -> Result<(), StoreError> {
        let space = (self.number, self.space);
        let author = Author { chain, id: header.chain(), is_ancestor: false };
        for (entry, content) in (0..).zip(&body.entries) {
            // What was erased is gone, and what a newer version wrote stays in its batch.
            let BodyEntry::Present { entry: content, .. } = content else { continue };
            let place = EntryPlace { batch, entry };
            match content {
                Entry::Change(change) => {
                    let first = firsts.get(entry as usize).and_then(Option::as_ref);
                    self.writing.take_change(space, author, change, place, first)?;
                }
                Entry::Ancestor(ancestor) => self.writing.note_ancestor(space, ancestor, place)?,
                Entry::Track(chunk) => {
                    let Ok(body) = chunk.to_bytes() else { continue };
                    let transaction = self.writing.transaction;
                    match track::insert(transaction, self.number, chain, chunk, &body, Some(batch))? {
                        Outcome::Applied => {
                            let changed =
                                Changed { space: self.space, kind: TRACK.to_owned(), id: chunk.patrol };
                            self.writing.changed.push(changed);
                        }
                        Outcome::Refused(refusal) => {
                            self.writing.hold_track(space, chain, chunk, place, Some(refusal))?;
                        }
                        Outcome::Held | Outcome::Waits => {
                            self.writing.find_orphan_track(self.space, header, chunk.id)?;
                            self.writing.hold_track(space, chain, chunk, place, None)?;
                        }
                    }
                }
                Entry::Unreadable { .. } => self.writing.refuse_entry(place, EntryRefusal::Malformed)?,
                Entry::Control(_) | Entry::Unknown { .. } => {}
            }
        }
        Ok(())
    }

    /// Notes the entries of a batch that does not stand.
    pub(super) fn note_entries(
        &mut self,
        batch: i64,
        chain: i64,
        header: &Header,
        body: &Body,
    ) -> Result<(), StoreError> {
        let space = (self.number, self.space);
        let author = Author { chain, id: header.chain(), is_ancestor: false };
        for (entry, content) in (0..).zip(&body.entries) {
            let BodyEntry::Present { entry: content, .. } = content else { continue };
            let place = EntryPlace { batch, entry };
            match content {
                Entry::Change(change) => self.writing.note_change(space, author, change, place)?,
                Entry::Ancestor(ancestor) => self.writing.note_ancestor(space, ancestor, place)?,
                Entry::Track(chunk) => self.writing.hold_track(space, chain, chunk, place, None)?,
                Entry::Control(_) | Entry::Unknown { .. } | Entry::Unreadable { .. } => {}
            }
        }
        Ok(())
    }

    /// After the last batch: what waited is tried again, rows are written, the cursor moves.
    pub(super) fn finish(&mut self, cursor: Option<Cursor>) -> Result<(), StoreError> {
        if self.report.membership_changed {
            self.retry_batches()?;
            self.settle_bounds(&Arc::clone(&self.before))?;
            self.erase_new(&Arc::clone(&self.before))?;
            space::set_organisations(self.writing.transaction, self.number, &self.membership)?;
            self.writing.membership = Some((self.space, Arc::clone(&self.membership)));
        }
        self.writing.rebuild_marked()?;
        self.writing.flush()?;
        if cursor.is_some() {
            space::set_cursor(self.writing.transaction, self.number, cursor)?;
        }
        Ok(())
    }

    /// Tries the batches that wait, or that an earlier version could not read, until no more is
    /// accepted. What a control batch says counts wherever it is.
    pub(super) fn retry_batches(&mut self) -> Result<(), StoreError> {
        loop {
            let mut accepted = 0;
            for WaitingBatch { row, chain, state, bytes } in self.waiting_batches()? {
                if self.heard.contains(&row) {
                    continue;
                }
                let batch = SealedBatch::parse(bytes);
                let batch = batch.map_err(|_| StoreError::Unreadable("a batch that waits"))?;
                let Ok(body) = batch.open() else { continue };
                if self.judge(&batch, &body) != Verdict::Accepted {
                    continue;
                }
                accepted += 1;
                if state < FORK {
                    let (batch, body) = self.stored_without_erased(row, batch, body)?;
                    self.writing.set_batch_state(row, READ)?;
                    self.take_entries(row, chain, batch.header(), &body, &[])?;
                } else {
                    self.heard.insert(row);
                }
            }
            if accepted == 0 {
                return Ok(());
            }
        }
    }

    /// The batches that are held and not read, and the control batches that do not stand.
    fn waiting_batches(&self) -> Result<Vec<WaitingBatch>, StoreError> {
        let sql = "SELECT b.id, b.chain, b.state, b.bytes FROM batch b INDEXED BY batch_waiting
            JOIN chain c ON c.id = b.chain
            WHERE b.state > 0 AND (b.state < 3 OR b.control = 1) AND c.space = ?1 ORDER BY b.id";
        let mut statement = self.writing.transaction.prepare_cached(sql)?;
        let rows = statement.query_map([self.number], |row| {
            Ok(WaitingBatch { row: row.get(0)?, chain: row.get(1)?, state: row.get(2)?, bytes: row.get(3)? })
        })?;
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

    /// A batch and its body without what was erased.
    fn without_erased<'c>(
        &self,
        batch: &'c SealedBatch,
        body: Option<&'c Body>,
    ) -> Result<(Cow<'c, SealedBatch>, Option<Cow<'c, Body>>), StoreError> {
        let erased = body.map_or(Vec::new(), |body| self.erased_in(body));
        if erased.is_empty() {
            return Ok((Cow::Borrowed(batch), body.map(Cow::Borrowed)));
        }
        let (batch, body) = erase::stripped(batch, &erased)?;
        Ok((Cow::Owned(batch), Some(Cow::Owned(body))))
    }
}

pub(super) fn key_of(header: &Header) -> ChainKey {
    let Header { device, incarnation, space, lane, .. } = *header;
    ChainKey { device, incarnation, space, lane }
}
