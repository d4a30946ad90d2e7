//! Building one record again, from every place where changes of it are held.
//!
//! What is part of it is a pure function of what is held and of what of that stands, so a record that
//! was built again is the same on every replica, whatever came first, and whether it was built once or
//! grew. It is the one way in which a record loses a change, or vanishes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::Row;

use super::Writing;
use super::error::StoreError;
use super::held::{PENDING, REFUSED, REFUSED_BESIDE_OTHERS, SPARE, WAITS};
use super::ingest::{EntryRefusal, FORK, READ, REVOKED};
use super::merge::{Place, RecordName, Target};
use super::row::{self, Authors, Columns};
use crate::document::{Candidate, Change, Document, Fate, ancestry_beyond, choose, fold_one, scan};
use crate::id::ChangeHash;

/// One place of a change.
struct HeldPlace {
    hash: ChangeHash,
    /// The number of the author's chain.
    chain: i64,
    seq: i64,
    place: Place,
    is_ancestor: bool,
    /// The number of the chain of the batch; none while it is pending.
    carrier: Option<i64>,
    /// Where its author's chain has it, if that stands.
    counts_at: Option<(u64, u64)>,
    /// Its batch stands.
    stands: bool,
    /// Its batch can be built on.
    is_usable: bool,
}

impl HeldPlace {
    /// Reads hash, chain, seq, batch, entry, ancestor, and of the batch state, seq and chain.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (batch, entry): (Option<i64>, i64) = (row.get(3)?, row.get(4)?);
        let (is_ancestor, state): (bool, Option<u8>) = (row.get(5)?, row.get(6)?);
        let seq: Option<i64> = row.get(7)?;
        let place = match batch {
            Some(batch) if batch != PENDING => Place::Batch { batch, entry: entry as u32 },
            _ => Place::Pending(entry),
        };
        let counts_at = match (state, seq) {
            // What is pending comes after everything that was sealed.
            (None, _) => Some((u64::MAX, entry as u64)),
            (Some(READ), Some(seq)) if !is_ancestor => Some((seq as u64, entry as u64)),
            _ => None,
        };
        Ok(Self {
            hash: ChangeHash::from_bytes(row.get(0)?),
            chain: row.get(1)?,
            seq: row.get(2)?,
            place,
            is_ancestor,
            carrier: row.get(8)?,
            counts_at,
            stands: state == Some(READ),
            is_usable: matches!(state, None | Some(READ | FORK | REVOKED)),
        })
    }

    /// What is shown as the place of a change: where it counts, else where its author has it.
    fn preference(&self) -> (bool, Option<(u64, u64)>, bool) {
        (self.counts_at.is_none(), self.counts_at, self.is_ancestor)
    }
}

/// A change, and its bytes.
struct ReadChange {
    change: Arc<Change>,
    raw: Vec<u8>,
}

impl Writing<'_> {
    /// Builds one record again.
    pub(super) fn rebuild_record(&mut self, name: &RecordName) -> Result<(), StoreError> {
        let target = name.target();
        let row = row::find_row(self.transaction, target.space, target.kind, target.record)?;
        if let Some(row) = row {
            self.make_way_in(&target, row)?;
        }
        let was_open = row.and_then(|row| self.open.remove(&row)).is_some_and(|open| open.is_changed);
        let part_before = row.map_or(Ok(BTreeSet::new()), |row| self.part_of(row))?;
        let places = self.places_held(&target, row)?;
        let changes = self.read_held(row, &places)?;
        let candidates = candidates(&places, &changes);
        let fates = choose(&candidates);
        let part: BTreeSet<ChangeHash> =
            fates.iter().filter(|(_, fate)| **fate == Fate::Part).map(|(hash, _)| *hash).collect();
        let row = match (row, part.is_empty()) {
            (None, true) => None,
            (Some(row), true) => {
                self.delete_record(row)?;
                None
            }
            (row, false) if row.is_none() || was_open || part != part_before => {
                Some(self.write_record(&target, row, &part, &changes)?)
            }
            (row, false) => row,
        };
        if part != part_before {
            self.changed.push(target.changed());
        }
        self.write_places(&target, row, &places, &fates)?;
        if let Some(row) = row {
            self.set_undelivered_of(row)?;
            self.owe_ancestors(&target, &places, &candidates, &fates)?;
        }
        Ok(())
    }

    fn part_of(&self, row: i64) -> Result<BTreeSet<ChangeHash>, StoreError> {
        let mut statement =
            self.transaction.prepare_cached("SELECT hash FROM record_entry WHERE record = ?1")?;
        let hashes = statement.query_map([row], |row| row.get(0).map(ChangeHash::from_bytes))?;
        Ok(hashes.collect::<Result<_, _>>()?)
    }

    /// Every place of the record's changes, each once.
    fn places_held(&self, target: &Target<'_>, row: Option<i64>) -> Result<Vec<HeldPlace>, StoreError> {
        let mut places = BTreeMap::new();
        let part = "SELECT e.hash, e.chain, e.seq, e.batch, e.entry, e.ancestor, b.state, b.seq, b.chain
            FROM record_entry e LEFT JOIN batch b ON b.id = e.batch WHERE e.record = ?1";
        let mut part = self.transaction.prepare_cached(part)?;
        let held = "SELECT h.hash, h.chain, h.seq, h.batch, h.entry, h.ancestor, b.state, b.seq, b.chain
            FROM held_entry h LEFT JOIN batch b ON b.id = h.batch
            WHERE h.space = ?1 AND h.kind = ?2 AND h.record = ?3 AND h.seq > 0";
        let mut held = self.transaction.prepare_cached(held)?;
        let key = (target.space, target.kind, target.record.as_bytes());
        let part = part.query_map([row], HeldPlace::read)?;
        for place in part.chain(held.query_map(key, HeldPlace::read)?) {
            let place = place?;
            places.insert(place.place, place);
        }
        Ok(places.into_values().collect())
    }

    /// The changes themselves: from the saved document as far as it has them, because a batch has to be
    /// opened for each of the others.
    fn read_held(
        &self,
        row: Option<i64>,
        places: &[HeldPlace],
    ) -> Result<BTreeMap<ChangeHash, ReadChange>, StoreError> {
        let mut changes = BTreeMap::new();
        let saved = match row {
            Some(row) if places.len() > 1 => self.inner.saved_document(self.transaction, row)?,
            _ => None,
        };
        for (change, raw) in saved.iter().flat_map(Document::changes_with_bytes) {
            let read = ReadChange { change: Arc::clone(change), raw: raw.to_vec() };
            changes.insert(change.hash, read);
        }
        for place in places.iter().filter(|place| place.is_usable) {
            if changes.contains_key(&place.hash) {
                continue;
            }
            let raw = self.inner.change_at(self.transaction, place.place)?;
            let change = scan(&raw).map_err(|_| StoreError::Unreadable("a change"))?;
            if change.hash != place.hash {
                return Err(StoreError::Unreadable("a change's place"));
            }
            changes.insert(change.hash, ReadChange { change: Arc::new(change), raw });
        }
        Ok(changes)
    }

    fn write_record(
        &mut self,
        target: &Target<'_>,
        row: Option<i64>,
        part: &BTreeSet<ChangeHash>,
        changes: &BTreeMap<ChangeHash, ReadChange>,
    ) -> Result<i64, StoreError> {
        let unreadable = || StoreError::Unreadable("a record's changes");
        let raw = || part.iter().filter_map(|hash| changes.get(hash));
        let alone =
            if part.len() == 1 { raw().next().and_then(|read| fold_one(&read.change).ok()) } else { None };
        let (folded, document) = match alone {
            Some(folded) => (folded, None),
            None => {
                let document = Document::from_chosen(raw().map(|read| (&read.change, read.raw.as_slice())));
                let document = document.map_err(|_| unreadable())?;
                (document.fold(), Some(document))
            }
        };
        let (columns, authors) = self.columns(&folded, target.kind)?;
        let row = match row {
            Some(row) => row,
            None => self.insert_row(target, &columns, authors)?.ok_or_else(unreadable)?,
        };
        if columns.mentions {
            self.mentioning.push(row);
        }
        row::update(
            self.transaction,
            row,
            &columns,
            authors,
            self.revision,
            document.as_ref().map(Document::as_bytes),
        )?;
        Ok(row)
    }

    fn insert_row(
        &self,
        target: &Target<'_>,
        columns: &Columns,
        authors: Authors,
    ) -> Result<Option<i64>, StoreError> {
        let Target { space, kind, record, .. } = *target;
        row::insert(self.transaction, space, kind, record, columns, authors, self.revision)
    }

    /// Deletes a record's row, and whatever points to it.
    pub(super) fn delete_record(&mut self, row: i64) -> Result<(), StoreError> {
        self.open.remove(&row);
        for table in [
            "record_entry WHERE record",
            "undelivered WHERE record",
            "record_text WHERE rowid",
            "record_place WHERE id",
            "record WHERE id",
        ] {
            self.transaction.prepare_cached(&format!("DELETE FROM {table} = ?1"))?.execute([row])?;
        }
        Ok(())
    }

    /// Notes of each place what became of its change.
    fn write_places(
        &mut self,
        target: &Target<'_>,
        row: Option<i64>,
        places: &[HeldPlace],
        fates: &BTreeMap<ChangeHash, Fate>,
    ) -> Result<(), StoreError> {
        let key = (target.space, target.kind, target.record.as_bytes());
        self.transaction
            .prepare_cached(
                "DELETE FROM held_entry WHERE space = ?1 AND kind = ?2 AND record = ?3 AND seq > 0",
            )?
            .execute(key)?;
        if let Some(row) = row {
            self.transaction.prepare_cached("DELETE FROM record_entry WHERE record = ?1")?.execute([row])?;
        }
        let mut shown: BTreeMap<ChangeHash, &HeldPlace> = BTreeMap::new();
        for place in
            places.iter().filter(|place| fates.get(&place.hash) == Some(&Fate::Part) && place.is_usable)
        {
            let best = shown.entry(place.hash).or_insert(place);
            if place.preference() < best.preference() {
                *best = place;
            }
        }
        for place in places {
            if let (Some(row), true) =
                (row, shown.get(&place.hash).is_some_and(|best| best.place == place.place))
            {
                self.insert_part(row, place)?;
                continue;
            }
            if let (Place::Pending(pending), true) = (place.place, shown.contains_key(&place.hash)) {
                // A batch has it: what was recorded here under an earlier name was found.
                self.drop_orphan(pending)?;
                continue;
            }
            let state = match fates.get(&place.hash) {
                _ if place.counts_at.is_none() => SPARE,
                Some(Fate::Waits) => WAITS,
                Some(Fate::SequenceReused) => REFUSED + EntryRefusal::SequenceReused as u8,
                Some(Fate::ContradictsAncestors) => REFUSED + EntryRefusal::ContradictsAncestors as u8,
                Some(Fate::Part | Fate::Spare) | None => SPARE,
            };
            self.insert_place(target, place, state)?;
        }
        Ok(())
    }

    fn insert_part(&self, row: i64, place: &HeldPlace) -> Result<(), StoreError> {
        let (batch, entry) = match place.place {
            Place::Batch { batch, entry } => (Some(batch), i64::from(entry)),
            Place::Pending(id) => (None, id),
        };
        let sql = "INSERT INTO record_entry (record, chain, seq, hash, batch, entry, ancestor)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let values = (row, place.chain, place.seq, place.hash.as_bytes(), batch, entry, place.is_ancestor);
        self.transaction.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    fn insert_place(&mut self, target: &Target<'_>, place: &HeldPlace, state: u8) -> Result<(), StoreError> {
        let (batch, entry) = match place.place {
            Place::Batch { batch, entry } => (batch, i64::from(entry)),
            Place::Pending(id) => (PENDING, id),
        };
        if REFUSED_BESIDE_OTHERS.contains(&state) {
            tracing::warn!(batch, entry, code = state - REFUSED, "an entry is refused");
        }
        let sql =
            "INSERT INTO held_entry (space, kind, record, batch, entry, chain, seq, hash, ancestor, state)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        self.transaction.prepare_cached(sql)?.execute((
            target.space,
            target.kind,
            target.record.as_bytes(),
            batch,
            entry,
            place.chain,
            place.seq,
            place.hash.as_bytes(),
            place.is_ancestor,
            state,
        ))?;
        Ok(())
    }

    /// Own batches with changes of the record that the relay's log does not have.
    pub(super) fn set_undelivered_of(&self, row: i64) -> Result<(), StoreError> {
        let Some(identity) = self.inner.identity() else { return Ok(()) };
        self.transaction.prepare_cached("DELETE FROM undelivered WHERE record = ?1")?.execute([row])?;
        let sql = "INSERT INTO undelivered (batch, record)
            SELECT DISTINCT e.batch, e.record FROM record_entry e JOIN batch b ON b.id = e.batch
            JOIN chain c ON c.id = b.chain WHERE e.record = ?1 AND b.acknowledged <> 1 AND c.device = ?2";
        self.transaction.prepare_cached(sql)?.execute((row, identity.device().as_bytes()))?;
        Ok(())
    }

    /// What this device wrote must not hang on what others may not have: it carries that along. It does so
    /// too for whoever is revoked, of whom nothing is to come any more, unless others do already.
    fn owe_ancestors(
        &mut self,
        target: &Target<'_>,
        places: &[HeldPlace],
        candidates: &BTreeMap<ChangeHash, Candidate>,
        fates: &BTreeMap<ChangeHash, Fate>,
    ) -> Result<(), StoreError> {
        let is_adopted = |(hash, fate): (&ChangeHash, &Fate)| {
            *fate == Fate::Part && candidates.get(hash).is_some_and(|c| c.counts_at.is_none())
        };
        let Some(identity) = self.inner.identity() else { return Ok(()) };
        if !fates.iter().any(is_adopted) {
            return Ok(());
        }
        let own = self.own_chains_of(target.space, identity.device())?;
        let revoked = self.revoked_chains_of((target.space, target.space_id), identity.device())?;
        let beyond = |chains: &BTreeSet<i64>| {
            let parts = places.iter().filter(|place| {
                place.counts_at.is_some()
                    && chains.contains(&place.chain)
                    && fates.get(&place.hash) == Some(&Fate::Part)
            });
            ancestry_beyond(candidates, parts.map(|place| place.hash).collect())
        };
        let is_carried = |hash: &ChangeHash, by: &dyn Fn(&HeldPlace) -> bool| {
            places.iter().any(|place| place.hash == *hash && place.is_ancestor && by(place))
        };
        let by_this = |place: &HeldPlace| place.carrier.is_some_and(|chain| own.contains(&chain));
        let mut owed = beyond(&own);
        owed.retain(|hash| !is_carried(hash, &by_this));
        owed.extend(beyond(&revoked).into_iter().filter(|hash| !is_carried(hash, &|place| place.stands)));
        let lane = self.inner.kind(target.kind).lane;
        owed.into_iter().try_for_each(|hash| self.owe(target, lane, hash))
    }
}

fn candidates(
    places: &[HeldPlace],
    changes: &BTreeMap<ChangeHash, ReadChange>,
) -> BTreeMap<ChangeHash, Candidate> {
    let mut candidates: BTreeMap<ChangeHash, Candidate> = BTreeMap::new();
    for place in places.iter().filter(|place| place.is_usable) {
        let Some(read) = changes.get(&place.hash) else { continue };
        let candidate = candidates
            .entry(place.hash)
            .or_insert_with(|| Candidate { change: Arc::clone(&read.change), counts_at: None });
        candidate.counts_at = match (candidate.counts_at, place.counts_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    candidates
}
