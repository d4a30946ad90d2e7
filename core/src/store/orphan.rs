//! Orphans: found in a log, in the way of what a log brings, or moved to this file's new name.
//!
//! An orphan is a pending row like any other, shown in its record. The log of its space may hold the
//! very same change: then that one is it. The log may hold another change in its place in the old
//! chain: then the orphan moves at once, because one name must not stand for two contents. What is
//! neither when the space is settled moves then, and is sent.

use std::collections::{BTreeSet, HashSet};

use rusqlite::OptionalExtension;

use super::chain::{self, ChainKey};
use super::error::StoreError;
use super::ingest::READ;
use super::merge::{Place, Target};
use super::{Store, Writing, row, space};
use crate::batch::{Header, Lane};
use crate::document::{Change, Moved, reauthor, scan};
use crate::id::{ActorId, ChangeHash, Incarnation, RecordId, SpaceId};

/// One change of a record, and where it is.
struct HeldChange {
    chain: i64,
    /// Its pending row, if it is an orphan.
    orphan: Option<i64>,
    change: Change,
}

/// A pending row that is an orphan.
struct OrphanRow {
    id: i64,
    lane: Lane,
    kind: Option<String>,
    record: RecordId,
    incarnation: Incarnation,
}

impl Store {
    /// A space's log was read to its head, or holds nothing of this device that is not here: what is
    /// an orphan still is in no log. It moves to this file's name, and will be sent.
    pub fn settle_orphans(&self, space: SpaceId) -> Result<(), StoreError> {
        self.inner.transaction(|writing| {
            let Some(number) = space::number(writing.transaction, space)? else { return Ok(()) };
            writing.settle(number, space)?;
            writing.flush()?;
            let sql = "DELETE FROM unsettled WHERE space = ?1";
            writing.transaction.execute(sql, [number])?;
            let sql = "DELETE FROM chain_elsewhere WHERE chain IN (SELECT id FROM chain WHERE space = ?1)";
            writing.transaction.execute(sql, [number])?;
            Ok(())
        })
    }
}

impl Writing<'_> {
    fn settle(&mut self, number: i64, space: SpaceId) -> Result<(), StoreError> {
        let mut records = BTreeSet::new();
        for orphan in self.orphans_of(space)? {
            match orphan.kind {
                Some(kind) => drop(records.insert((kind, orphan.record))),
                None => self.move_track(number, space, &orphan)?,
            }
        }
        for (kind, record) in records {
            let target = Target { space: number, space_id: space, kind: &kind, record };
            let row = row::find_row(self.transaction, number, &kind, record)?;
            let row = row.ok_or(StoreError::Unreadable("an orphan without its record"))?;
            for pending in self.move_changes(&target, row, None)? {
                self.end_orphan(pending)?;
            }
            for needed in self.give_places(&target, row)? {
                self.owe(&target, self.inner.kind(target.kind).lane, needed)?;
            }
        }
        Ok(())
    }

    /// Lets orphans of a record be where a batch that stands has them; gives those that none has.
    pub(super) fn give_places(
        &mut self,
        target: &Target<'_>,
        row: i64,
    ) -> Result<Vec<ChangeHash>, StoreError> {
        if !self.has_orphans()? {
            return Ok(Vec::new());
        }
        let mut nowhere = Vec::new();
        for (pending, hash) in self.orphans_in(row)? {
            let sql = "DELETE FROM held_entry WHERE (space, kind, record, batch, entry) IN (
                    SELECT h.space, h.kind, h.record, h.batch, h.entry FROM held_entry h
                    JOIN batch b ON b.id = h.batch WHERE h.space = ?1 AND h.kind = ?2 AND h.record = ?3
                        AND h.hash = ?4 AND b.state = ?5 ORDER BY h.ancestor, h.batch, h.entry LIMIT 1)
                RETURNING batch, entry, ancestor";
            let record = target.record.as_bytes();
            let key = (target.space, target.kind, record, hash.as_bytes(), READ);
            let place: Option<(i64, i64, bool)> = self
                .transaction
                .prepare_cached(sql)?
                .query_row(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((batch, entry, is_ancestor)) = place else {
                nowhere.push(hash);
                continue;
            };
            self.place_orphan(target, row, (pending, hash), (batch, entry, is_ancestor))?;
            self.set_undelivered_of(row)?;
        }
        Ok(nowhere)
    }

    fn orphans_in(&self, row: i64) -> Result<Vec<(i64, ChangeHash)>, StoreError> {
        let sql = "SELECT e.entry, e.hash FROM record_entry e JOIN orphan o ON o.pending = e.entry
            WHERE e.record = ?1 AND e.batch IS NULL";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let rows =
            statement.query_map([row], |row| Ok((row.get(0)?, ChangeHash::from_bytes(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn orphans_of(&self, space: SpaceId) -> Result<Vec<OrphanRow>, StoreError> {
        let sql = "SELECT p.id, p.lane, p.kind, p.record, o.incarnation
            FROM orphan o JOIN pending p ON p.id = o.pending WHERE p.space = ?1 ORDER BY p.id";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query([space.as_bytes()])?;
        let mut orphans = Vec::new();
        while let Some(row) = rows.next()? {
            orphans.push(OrphanRow {
                id: row.get(0)?,
                lane: Lane::from_u8(row.get(1)?).ok_or(StoreError::Unreadable("a pending row's lane"))?,
                kind: row.get(2)?,
                record: RecordId::from_bytes(row.get(3)?),
                incarnation: Incarnation::from_bytes(row.get(4)?),
            });
        }
        Ok(orphans)
    }

    /// The chain that this device writes, or wrote, under a name, and its actor.
    fn chain_of(
        &self,
        number: i64,
        space: SpaceId,
        lane: Lane,
        incarnation: Incarnation,
    ) -> Result<(i64, ActorId), StoreError> {
        let identity = self.inner.identity().ok_or(StoreError::Unreadable("orphans in a replica"))?;
        let key = ChainKey { device: identity.device(), incarnation, space, lane };
        let organisation = space::organisation_of(&self.inner.membership(space), key.device);
        let chain = chain::find_or_insert(self.transaction, number, &key, organisation)?;
        Ok((chain.id, key.actor()))
    }

    /// It is pending like any other from now on.
    fn end_orphan(&self, pending: i64) -> Result<(), StoreError> {
        self.transaction.prepare_cached("DELETE FROM orphan WHERE pending = ?1")?.execute([pending])?;
        Ok(())
    }

    /// It stands elsewhere, so nothing is left to be sent.
    pub(super) fn drop_orphan(&self, pending: i64) -> Result<(), StoreError> {
        self.transaction.prepare_cached("DELETE FROM pending WHERE id = ?1")?.execute([pending])?;
        self.end_orphan(pending)
    }

    /// A track chunk that this device has sent under another name is sent; any other moves.
    fn move_track(&mut self, number: i64, space: SpaceId, orphan: &OrphanRow) -> Result<(), StoreError> {
        let (old, _) = self.chain_of(number, space, orphan.lane, orphan.incarnation)?;
        let (new, _) = self.chain_of(number, space, orphan.lane, self.inner.incarnation())?;
        let sql = "SELECT EXISTS (SELECT 1 FROM track_chunk mine JOIN track_chunk twin
                ON twin.space = mine.space AND twin.chunk = mine.chunk AND twin.body = mine.body AND twin.id <> mine.id
            JOIN chain c ON c.id = twin.chain JOIN chain o ON o.id = mine.chain
            WHERE mine.space = ?1 AND mine.chain = ?2 AND mine.chunk = ?3 AND c.device = o.device)";
        let key = (number, old, orphan.record.as_bytes());
        if self.transaction.prepare_cached(sql)?.query_row(key, |row| row.get(0))? {
            let sql = "DELETE FROM track_chunk WHERE space = ?1 AND chain = ?2 AND chunk = ?3";
            self.transaction.prepare_cached(sql)?.execute(key)?;
            return self.drop_orphan(orphan.id);
        }
        let sql = "UPDATE track_chunk SET chain = ?4 WHERE space = ?1 AND chain = ?2 AND chunk = ?3";
        self.transaction.prepare_cached(sql)?.execute((key.0, key.1, key.2, new))?;
        self.end_orphan(orphan.id)
    }

    /// Moves orphans of a record to this file's present name: all of them, or one and what builds on
    /// it. Gives the pending rows of those that were moved.
    fn move_changes(
        &mut self,
        target: &Target<'_>,
        row: i64,
        from: Option<ChangeHash>,
    ) -> Result<Vec<i64>, StoreError> {
        let (kept, moved) = split(self.changes_of(row)?, from);
        if moved.is_empty() {
            return Ok(Vec::new());
        }
        let lane = self.inner.kind(target.kind).lane;
        let (chain, actor) = self.chain_of(target.space, target.space_id, lane, self.inner.incarnation())?;
        let own = self.own_actors(target.space)?;
        let (kept_changes, moved_changes) = (changes(&kept), changes(&moved));
        let stands = match reauthor(&kept_changes, &moved_changes, actor, |author| own.contains(&author)) {
            Ok(stands) => stands,
            Err(error) => {
                // It stays as it is, and counted, until a newer program knows better.
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "changes of a record cannot move to this file's new name");
                return Ok(Vec::new());
            }
        };
        for held in &moved {
            self.transaction
                .prepare_cached("DELETE FROM record_entry WHERE record = ?1 AND chain = ?2 AND seq = ?3")?
                .execute((row, held.chain, held.change.seq as i64))?;
        }
        let mut rows = Vec::with_capacity(moved.len());
        for (held, stands) in moved.iter().zip(&stands) {
            let pending = held.orphan.ok_or(StoreError::Unreadable("an orphan's place"))?;
            match stands {
                Moved::Held(_) => self.drop_orphan(pending)?,
                Moved::Written { raw, change } => {
                    self.transaction
                        .prepare_cached("UPDATE pending SET body = ?2, lane = ?3 WHERE id = ?1")?
                        .execute((pending, raw, lane as u8))?;
                    self.insert_entry(row, chain, (change.seq, change.hash), Place::Pending(pending))?;
                    rows.push(pending);
                }
            }
        }
        self.rebuild(row, target)?;
        Ok(rows)
    }

    /// Every change of a record.
    fn changes_of(&self, row: i64) -> Result<Vec<HeldChange>, StoreError> {
        let sql =
            "SELECT e.chain, e.batch, e.entry, EXISTS (SELECT 1 FROM orphan o WHERE o.pending = e.entry)
            FROM record_entry e WHERE e.record = ?1";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query([row])?;
        let mut held = Vec::new();
        while let Some(row) = rows.next()? {
            let (chain, batch, entry) = (row.get(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, i64>(2)?);
            let (place, orphan) = match batch {
                Some(batch) => (Place::Batch { batch, entry: entry as u32 }, None),
                None => (Place::Pending(entry), row.get::<_, bool>(3)?.then_some(entry)),
            };
            let raw = self.inner.change_at(self.transaction, place)?;
            let change = scan(&raw).map_err(|_| StoreError::Unreadable("a change"))?;
            held.push(HeldChange { chain, orphan, change });
        }
        Ok(held)
    }

    /// Who this device is, or was, in the chains of a space.
    fn own_actors(&self, space: i64) -> Result<HashSet<ActorId>, StoreError> {
        let device = self.inner.identity().map(|identity| *identity.device().as_bytes());
        let sql = "SELECT actor FROM chain WHERE space = ?1 AND device = ?2";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let rows = statement.query_map((space, device), |row| row.get(0).map(ActorId::from_bytes))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Builds a record again from the places of its changes.
    fn rebuild(&mut self, row: i64, target: &Target<'_>) -> Result<(), StoreError> {
        self.open.remove(&row);
        self.transaction.prepare_cached("UPDATE record SET doc = NULL WHERE id = ?1")?.execute([row])?;
        self.open_record(row, target.kind)?;
        self.mark_changed(row);
        self.changed.push(target.changed());
        Ok(())
    }

    /// A log brought a change that is here already: if that was an orphan, the log's one is it.
    pub(super) fn find_orphan(
        &mut self,
        target: &Target<'_>,
        row: i64,
        hash: ChangeHash,
        place: Place,
    ) -> Result<(), StoreError> {
        let Place::Batch { batch, entry } = place else { return Ok(()) };
        if !self.has_orphans()? {
            return Ok(());
        }
        match self.orphans_in(row)?.into_iter().find(|orphan| orphan.1 == hash) {
            Some(orphan) => self.place_orphan(target, row, orphan, (batch, entry.into(), false)),
            None => Ok(()),
        }
    }

    /// An orphan is where a batch has it: in which, as which entry, and whether carried along.
    fn place_orphan(
        &mut self,
        target: &Target<'_>,
        row: i64,
        (pending, hash): (i64, ChangeHash),
        (batch, entry, is_ancestor): (i64, i64, bool),
    ) -> Result<(), StoreError> {
        let sql = "UPDATE record_entry SET batch = ?3, entry = ?4, ancestor = ?5
            WHERE record = ?1 AND hash = ?2";
        let values = (row, hash.as_bytes(), batch, entry, is_ancestor);
        self.transaction.prepare_cached(sql)?.execute(values)?;
        self.drop_orphan(pending)?;
        self.changed.push(target.changed());
        Ok(())
    }

    /// The same for a track chunk, of this chain.
    pub(super) fn find_orphan_track(
        &mut self,
        space: SpaceId,
        header: &Header,
        chunk: RecordId,
    ) -> Result<(), StoreError> {
        if !self.has_orphans()? {
            return Ok(());
        }
        let sql = "SELECT p.id FROM orphan o JOIN pending p ON p.id = o.pending
            WHERE p.space = ?1 AND p.kind IS NULL AND p.record = ?2 AND p.lane = ?3 AND o.incarnation = ?4";
        let key = (space.as_bytes(), chunk.as_bytes(), header.lane as u8, header.incarnation.as_bytes());
        let orphan: Option<i64> =
            self.transaction.prepare_cached(sql)?.query_row(key, |row| row.get(0)).optional()?;
        orphan.map_or(Ok(()), |pending| self.drop_orphan(pending))
    }

    /// A log brought another change in an orphan's place in its chain. Moves the orphan, and what
    /// builds on it, out of the way; false if there is none there.
    pub(super) fn make_way(
        &mut self,
        target: &Target<'_>,
        row: i64,
        chain: i64,
        seq: u64,
    ) -> Result<bool, StoreError> {
        if !self.has_orphans()? {
            return Ok(false);
        }
        let sql = "SELECT e.hash FROM record_entry e JOIN orphan o ON o.pending = e.entry
            WHERE e.record = ?1 AND e.chain = ?2 AND e.seq = ?3 AND e.batch IS NULL";
        let hash: Option<[u8; 32]> = self
            .transaction
            .prepare_cached(sql)?
            .query_row((row, chain, seq as i64), |row| row.get(0))
            .optional()?;
        let Some(hash) = hash else { return Ok(false) };
        // They stay orphans: the log may have their twins further on.
        let moved = self.move_changes(target, row, Some(ChangeHash::from_bytes(hash)))?;
        Ok(!moved.is_empty())
    }

    /// Moves every orphan of a record in whose place in its chain another change stands by now.
    pub(super) fn make_way_in(&mut self, target: &Target<'_>, row: i64) -> Result<(), StoreError> {
        if !self.has_orphans()? {
            return Ok(());
        }
        let sql = "SELECT DISTINCT e.chain, e.seq FROM record_entry e JOIN orphan o ON o.pending = e.entry
            JOIN held_entry h ON h.space = ?2 AND h.kind = ?3 AND h.record = ?4
                AND h.chain = e.chain AND h.seq = e.seq AND h.hash <> e.hash
            JOIN batch b ON b.id = h.batch AND b.state < 3
            WHERE e.record = ?1 AND e.batch IS NULL ORDER BY e.chain, e.seq";
        let key = (row, target.space, target.kind, target.record.as_bytes());
        let taken: Vec<(i64, i64)> = {
            let mut statement = self.transaction.prepare_cached(sql)?;
            let rows = statement.query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        for (chain, seq) in taken {
            self.make_way(target, row, chain, seq as u64)?;
        }
        Ok(())
    }
}

/// Which changes of a record stay, and which orphans move: all on which nothing builds that stays,
/// or of those one and what builds on it.
fn split(held: Vec<HeldChange>, from: Option<ChangeHash>) -> (Vec<HeldChange>, Vec<HeldChange>) {
    let mut sorted = held;
    sorted.sort_by_key(|held| (held.change.start_op, held.change.actor, held.change.seq));
    let mut moves: HashSet<ChangeHash> = HashSet::new();
    for held in sorted.iter().filter(|held| held.orphan.is_some()) {
        let builds_on_one = held.change.deps.iter().any(|dep| moves.contains(dep));
        if from.is_none_or(|from| from == held.change.hash) || builds_on_one {
            moves.insert(held.change.hash);
        }
    }
    // What others build on keeps its name: it came to them in some other way.
    let mut needed: HashSet<ChangeHash> = HashSet::new();
    for held in sorted.iter().rev() {
        if !moves.contains(&held.change.hash) || needed.contains(&held.change.hash) {
            needed.extend(&held.change.deps);
        }
    }
    sorted
        .into_iter()
        .partition(|held| !moves.contains(&held.change.hash) || needed.contains(&held.change.hash))
}

fn changes(held: &[HeldChange]) -> Vec<Change> {
    held.iter().map(|held| held.change.clone()).collect()
}
