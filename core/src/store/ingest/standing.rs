//! What stands of a chain, found out again where it may have changed.
//!
//! Only a chain with branches, with a bound, or with control batches that came ahead of others is
//! looked at whole. Batches then move into quarantine or out of it, and the records that they are about
//! are built again.

use std::collections::{BTreeMap, BTreeSet};

use super::taking::{Ingest, Step};
use super::{AHEAD, FORK, READ, REVOKED, UNREAD, WAITS};
use crate::batch::{Body, BodyEntry, Entry, SealedBatch};
use crate::control::branch::{self, Link};
use crate::control::{Bound, Membership, QuarantineReason, Verdict};
use crate::id::{BatchId, DeviceId};
use crate::store::Writing;
use crate::store::chain::{self, ChainKey};
use crate::store::error::StoreError;
use crate::store::held::EntryPlace;
use crate::store::merge::RecordName;
use crate::store::observe::{Changed, TRACK};
use crate::store::space;

/// A batch of the chain.
struct Row {
    id: i64,
    link: Link,
    state: u8,
    is_control: bool,
}

impl Ingest<'_, '_> {
    /// Finds out what stands of a chain.
    pub(super) fn settle_chain(&mut self, chain: i64, key: &ChainKey) -> Result<(), StoreError> {
        let rows = self.rows_of(chain)?;
        let bound = self.bound(key);
        let holes = holes(&rows, &bound);
        let links: Vec<Link> = rows.iter().map(|row| row.link).chain(holes.iter().copied()).collect();
        let stands: BTreeSet<BatchId> = branch::standing(&links, &bound).into_iter().collect();
        let rooted = rooted(&links);
        let mut top = (0, BatchId::from_bytes([0; 32]));
        let mut branched = false;
        for row in rows.iter().rev() {
            if stands.contains(&row.link.id) {
                top = top.max((row.link.seq, row.link.id));
                continue;
            }
            branched = true;
            let state = match branch::reason(row.link.seq, &bound) {
                _ if row.is_control && !rooted.contains(&row.link.id) => AHEAD,
                QuarantineReason::Fork => FORK,
                QuarantineReason::Revoked => REVOKED,
            };
            if row.state < FORK {
                self.leave(row.id, chain)?;
            }
            if row.state != state {
                self.writing.set_batch_state(row.id, state)?;
            }
        }
        chain::set_height(self.writing.transaction, chain, top.0, top.1)?;
        chain::set_branched(self.writing.transaction, chain, branched)?;
        for row in rows.iter().filter(|row| row.state >= FORK && stands.contains(&row.link.id)) {
            self.enter(row.id, chain)?;
        }
        Ok(())
    }

    /// Looks at every chain again whose bound is not what it was.
    pub(super) fn settle_bounds(&mut self, before: &Membership) -> Result<(), StoreError> {
        for (chain, key) in space::chains(self.writing.transaction, self.number, self.space)? {
            let ChainKey { device, incarnation, lane, .. } = key;
            let is_bounded = before.is_revoked(device) || self.membership.is_revoked(device);
            if is_bounded
                && before.bound(device, incarnation, lane) != self.membership.bound(device, incarnation, lane)
            {
                self.settle_chain(chain, &key)?;
            }
        }
        let is_new = |revoked: DeviceId| self.membership.is_revoked(revoked) && !before.is_revoked(revoked);
        // A replica carries nothing.
        let may_carry = self.writing.inner.identity().is_some();
        if may_carry && self.membership.revokes().any(|revoke| is_new(revoke.device)) {
            self.mark_what_fell()?;
        }
        Ok(())
    }

    /// Marks the records of everything in quarantine. Who is revoked may have built on some of it, and now
    /// others carry that along in its place.
    fn mark_what_fell(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT b.id FROM batch b INDEXED BY batch_waiting JOIN chain c ON c.id = b.chain
            WHERE b.state > 0 AND b.state IN (3, 4) AND c.space = ?1";
        let fell: Vec<i64> = {
            let mut statement = self.writing.transaction.prepare_cached(sql)?;
            let rows = statement.query_map([self.number], |row| row.get(0))?;
            rows.collect::<Result<_, _>>()?
        };
        for row in fell {
            if let Ok(body) = self.writing.read_batch(row)?.open() {
                self.mark_records(&body);
            }
        }
        Ok(())
    }

    /// How far a chain stands. A device never judges its own: it keeps what it wrote, and sees that it
    /// is revoked.
    fn bound(&self, key: &ChainKey) -> Bound {
        if self.writing.inner.identity().is_some_and(|own| own.device() == key.device) {
            return Bound::unbounded();
        }
        self.membership.bound(key.device, key.incarnation, key.lane)
    }

    /// What became of a batch whose chain was settled.
    pub(super) fn step_of(&self, row: i64) -> Result<Step, StoreError> {
        let sql = "SELECT state FROM batch WHERE id = ?1";
        let state: u8 = self.writing.transaction.prepare_cached(sql)?.query_row([row], |row| row.get(0))?;
        Ok(match state {
            WAITS => Step::Waits,
            FORK => Step::Quarantined(QuarantineReason::Fork),
            REVOKED => Step::Quarantined(QuarantineReason::Revoked),
            _ => Step::Taken,
        })
    }

    pub(super) fn step_of_batch(&self, batch: BatchId) -> Result<Step, StoreError> {
        let sql = "SELECT id FROM batch WHERE batch = ?1";
        let row =
            self.writing.transaction.prepare_cached(sql)?.query_row([batch.as_bytes()], |row| row.get(0))?;
        self.step_of(row)
    }

    fn rows_of(&self, chain: i64) -> Result<Vec<Row>, StoreError> {
        let sql =
            "SELECT id, batch, seq, prev, state, control FROM batch WHERE chain = ?1 ORDER BY seq, batch";
        let mut statement = self.writing.transaction.prepare_cached(sql)?;
        let rows = statement.query_map([chain], |row| {
            let link = Link {
                id: BatchId::from_bytes(row.get(1)?),
                seq: row.get::<_, i64>(2)? as u64,
                prev: BatchId::from_bytes(row.get(3)?),
            };
            Ok(Row { id: row.get(0)?, link, state: row.get(4)?, is_control: row.get(5)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A batch comes to stand: it is judged as if it had just come.
    fn enter(&mut self, row: i64, chain: i64) -> Result<(), StoreError> {
        // What was discarded before it was adopted is in quarantine at the relay no more, and perhaps not in
        // its log: whoever has it offers it again.
        let sql = "UPDATE batch SET acknowledged = 0 WHERE id = ?1 AND acknowledged = 2";
        self.writing.transaction.prepare_cached(sql)?.execute([row])?;
        let batch = self.writing.read_batch(row)?;
        let Ok(body) = batch.open() else { return self.writing.set_batch_state(row, UNREAD) };
        // Its changes are noted already, in their places.
        self.mark_records(&body);
        if self.judge(&batch, &body) != Verdict::Accepted {
            return self.writing.set_batch_state(row, WAITS);
        }
        self.writing.set_batch_state(row, READ)?;
        self.writing.forget_tracks(self.number, row, &body)?;
        let tracks = Body { entries: body.entries.into_iter().map(only_tracks).collect() };
        self.take_entries(row, chain, batch.header(), &tracks, &[])
    }

    /// A batch does not stand any more.
    fn leave(&mut self, row: i64, chain: i64) -> Result<(), StoreError> {
        let batch = self.writing.read_batch(row)?;
        let Ok(body) = batch.open() else { return Ok(()) };
        self.mark_records(&body);
        let transaction = self.writing.transaction;
        transaction.prepare_cached("DELETE FROM refused_entry WHERE batch = ?1")?.execute([row])?;
        transaction
            .prepare_cached("DELETE FROM track_chunk WHERE chain = ?1 AND batch = ?2")?
            .execute((chain, row))?;
        let waits = self.writing.batch_state(row)? == WAITS;
        for (entry, content) in (0..).zip(&body.entries) {
            let BodyEntry::Present { entry: content, .. } = content else { continue };
            if let Entry::Track(chunk) = content {
                let place = EntryPlace { batch: row, entry };
                self.writing.hold_track((self.number, self.space), chain, chunk, place, None)?;
                let changed = Changed { space: self.space, kind: TRACK.to_owned(), id: chunk.patrol };
                self.writing.changed.push(changed);
            }
        }
        // While it waited nobody looked into it.
        if waits { self.note_entries(row, chain, batch.header(), &body) } else { Ok(()) }
    }

    fn mark_records(&mut self, body: &Body) {
        for entry in &body.entries {
            let BodyEntry::Present { entry, .. } = entry else { continue };
            let (kind, record) = match entry {
                Entry::Change(change) => (&change.kind, change.record),
                Entry::Ancestor(ancestor) => (&ancestor.kind, ancestor.record),
                _ => continue,
            };
            let name = RecordName { space: self.number, space_id: self.space, kind: kind.clone(), record };
            self.writing.mark_rebuild(name);
        }
    }
}

/// Leaves of a body what is not in the places of changes.
fn only_tracks(entry: BodyEntry) -> BodyEntry {
    match entry {
        BodyEntry::Present { entry: Entry::Change(_) | Entry::Ancestor(_), hash } => {
            BodyEntry::Erased { hash }
        }
        entry => entry,
    }
}

/// What bridges the places that were passed over, as if it were held: behind them batches stand.
fn holes(rows: &[Row], bound: &Bound) -> Vec<Link> {
    let held: BTreeSet<BatchId> = rows.iter().map(|row| row.link.id).collect();
    let mut holes = Vec::new();
    for row in rows {
        let is_behind_a_hole = row.state < FORK && row.link.seq > 1 && !held.contains(&row.link.prev);
        if !is_behind_a_hole {
            continue;
        }
        let links: Vec<Link> = rows.iter().map(|row| row.link).chain(holes.iter().copied()).collect();
        let below = links.iter().filter(|link| link.seq < row.link.seq).copied().collect::<Vec<_>>();
        let stands = branch::standing(&below, bound);
        let (mut seq, mut prev) =
            (stands.len() as u64, stands.last().copied().unwrap_or(BatchId::from_bytes([0; 32])));
        while seq + 1 < row.link.seq {
            seq += 1;
            // The last one is the one that is named; those before it have no name.
            let id = if seq + 1 == row.link.seq { row.link.prev } else { unnamed(row.link.prev, seq) };
            holes.push(Link { id, seq, prev });
            prev = id;
        }
    }
    holes
}

fn unnamed(before: BatchId, seq: u64) -> BatchId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before.as_bytes()).update(&seq.to_be_bytes());
    BatchId::from_bytes(*hasher.finalize().as_bytes())
}

/// The batches of which everything before is held.
fn rooted(links: &[Link]) -> BTreeSet<BatchId> {
    let mut places: BTreeMap<u64, Vec<&Link>> = BTreeMap::new();
    for link in links {
        places.entry(link.seq).or_default().push(link);
    }
    let mut rooted: BTreeMap<BatchId, u64> = BTreeMap::new();
    for (seq, links) in places {
        for link in links {
            if seq == 1 || rooted.get(&link.prev).is_some_and(|before| before + 1 == seq) {
                rooted.insert(link.id, seq);
            }
        }
    }
    rooted.into_keys().collect()
}

impl Writing<'_> {
    pub(in crate::store) fn set_batch_state(&self, batch: i64, state: u8) -> Result<(), StoreError> {
        let sql = "UPDATE batch SET state = ?2 WHERE id = ?1";
        self.transaction.prepare_cached(sql)?.execute((batch, state))?;
        Ok(())
    }

    fn batch_state(&self, batch: i64) -> Result<u8, StoreError> {
        let sql = "SELECT state FROM batch WHERE id = ?1";
        Ok(self.transaction.prepare_cached(sql)?.query_row([batch], |row| row.get(0))?)
    }

    /// A stored batch.
    pub(in crate::store) fn read_batch(&self, batch: i64) -> Result<SealedBatch, StoreError> {
        let sql = "SELECT bytes FROM batch WHERE id = ?1";
        let bytes: Vec<u8> = self.transaction.prepare_cached(sql)?.query_row([batch], |row| row.get(0))?;
        SealedBatch::parse(bytes).map_err(|_| StoreError::Unreadable("a batch"))
    }
}
