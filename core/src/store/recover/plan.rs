//! Decides what becomes of each thing found: taken in as it is, written again, or left.
//!
//! A batch behind a hole in its chain cannot be taken in. If it is somebody else's, or ours and
//! acknowledged, the relay has it and will send it; if the relay has not, its changes are written
//! again by value, and so are pending changes that are in no batch at all.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::carve::read_again;
use super::catalogue::{Adds, BatchKey, Catalogue, FoundPending, PendingKey, Trust};
use super::pages::DamagedFile;
use super::record::Column;
use crate::batch::{BodyEntry, Entry, SealedBatch};
use crate::document::{self, Change};
use crate::id::{ChangeHash, DeviceId, RecordId, SpaceId};

/// What to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Batches to take in, in this order.
    pub(super) take_in: Vec<BatchKey>,
    /// Our own batches that the relay lacks and that hang in the air: write their entries again.
    pub(super) write_again: Vec<BatchKey>,
    /// Batches left to the relay, which has them.
    pub(super) left: u64,
    /// Pending rows to write again, in this order.
    pub(super) pending: Vec<PendingKey>,
    /// Pending rows of which a batch has the change.
    pub(super) pending_skipped: u64,
    /// How far the fields of records were written, where pending rows of the past may be older.
    pub(super) newest: Newest,
}

/// The highest operation counter of every field of some records.
#[derive(Debug, Default)]
pub(super) struct Newest(HashMap<(SpaceId, RecordId), HashMap<String, u64>>);

impl Newest {
    fn watch(&mut self, space: SpaceId, record: RecordId) {
        self.0.entry((space, record)).or_default();
    }

    fn note(&mut self, space: SpaceId, record: RecordId, change: &Change) {
        let Some(fields) = self.0.get_mut(&(space, record)) else { return };
        for (op, counter) in change.ops.iter().zip(change.start_op..) {
            let newest = fields.entry(op.key.clone()).or_default();
            *newest = counter.max(*newest);
        }
    }

    /// Whether somebody wrote the field after this operation.
    pub(super) fn is_after(&self, space: SpaceId, record: RecordId, key: &str, counter: u64) -> bool {
        let fields = self.0.get(&(space, record));
        fields.and_then(|fields| fields.get(key)).is_some_and(|newest| *newest > counter)
    }
}

/// Decides for the device that the new store is of, if it is one's.
pub(super) fn plan(file: &DamagedFile, catalogue: &Catalogue, own: Option<DeviceId>) -> Plan {
    let mut plan = Plan::default();
    plan.follow_chains(catalogue, own);
    for found in catalogue.pending.values().filter(|found| found.trust == Trust::Past) {
        plan.newest.watch(found.space, found.record);
    }
    let in_batches = plan.read_batches(file, catalogue);
    for (key, found) in &catalogue.pending {
        if in_batches.hold(found) {
            plan.pending_skipped += 1;
            continue;
        }
        plan.pending.push(*key);
        if let Some(change) = read_change(file, found).filter(|_| found.trust == Trust::Current) {
            plan.newest.note(found.space, found.record, &change);
        }
    }
    plan
}

impl Plan {
    fn follow_chains(&mut self, catalogue: &Catalogue, own: Option<DeviceId>) {
        let controls = catalogue.batches.iter().filter(|(_, batch)| batch.is_control);
        let of_control: BTreeSet<_> = controls.map(|(key, _)| key.chain()).collect();
        let mut held = HashMap::new();
        let mut later = Vec::new();
        for (key, batch) in &catalogue.batches {
            let (seq, head) = held.get(&key.chain()).copied().unwrap_or((0, [0; 32]));
            if key.seq == seq + 1 && batch.prev.as_bytes() == &head {
                held.insert(key.chain(), (key.seq, *key.id.as_bytes()));
                let list = if of_control.contains(&key.chain()) { &mut self.take_in } else { &mut later };
                list.push(*key);
            } else if Some(key.device) == own && batch.acknowledged != Some(true) && key.seq > seq {
                self.write_again.push(*key);
            } else {
                self.left += 1;
            }
        }
        self.take_in.append(&mut later);
    }

    /// Opens every batch once, for what pending rows need to know.
    fn read_batches(&mut self, file: &DamagedFile, catalogue: &Catalogue) -> InBatches {
        let mut in_batches = InBatches::wanting(catalogue);
        for key in catalogue.batches.keys() {
            for entry in read_entries(file, catalogue, key) {
                match entry {
                    Entry::Change(entry) => {
                        let Ok(change) = document::scan(&entry.change) else { continue };
                        in_batches.note_change(change.hash);
                        self.newest.note(key.space, entry.record, &change);
                    }
                    Entry::Track(chunk) => in_batches.note_track(key, chunk.id),
                    _ => {}
                }
            }
        }
        in_batches
    }
}

/// Which pending rows' changes and track chunks the batches hold.
struct InBatches {
    wanted_changes: HashSet<ChangeHash>,
    wanted_tracks: HashSet<(SpaceId, RecordId)>,
    changes: HashSet<ChangeHash>,
    tracks: HashSet<(SpaceId, RecordId)>,
}

impl InBatches {
    fn wanting(catalogue: &Catalogue) -> Self {
        let (mut wanted_changes, mut wanted_tracks) = (HashSet::new(), HashSet::new());
        for found in catalogue.pending.values() {
            match &found.adds {
                Adds::Change { hash, .. } => {
                    wanted_changes.insert(*hash);
                }
                Adds::Track => {
                    wanted_tracks.insert((found.space, found.record));
                }
            }
        }
        Self { wanted_changes, wanted_tracks, changes: HashSet::new(), tracks: HashSet::new() }
    }

    fn note_change(&mut self, hash: ChangeHash) {
        if self.wanted_changes.contains(&hash) {
            self.changes.insert(hash);
        }
    }

    fn note_track(&mut self, key: &BatchKey, chunk: RecordId) {
        if self.wanted_tracks.contains(&(key.space, chunk)) {
            self.tracks.insert((key.space, chunk));
        }
    }

    fn hold(&self, found: &FoundPending) -> bool {
        match &found.adds {
            Adds::Change { hash, .. } => self.changes.contains(hash),
            Adds::Track => self.tracks.contains(&(found.space, found.record)),
        }
    }
}

/// Reads a batch again from where it was found.
pub(super) fn read_batch(file: &DamagedFile, catalogue: &Catalogue, key: &BatchKey) -> Option<SealedBatch> {
    read_again(file, catalogue.batches.get(key)?.place, |columns| {
        columns.iter().find_map(|column| match column {
            Column::Blob(bytes) => SealedBatch::parse(*bytes).ok().filter(|batch| batch.id() == key.id),
            _ => None,
        })
    })
}

/// Reads a batch's entries, those that are left of it.
pub(super) fn read_entries(file: &DamagedFile, catalogue: &Catalogue, key: &BatchKey) -> Vec<Entry> {
    let body = read_batch(file, catalogue, key).and_then(|batch| batch.open().ok());
    let entries = body.into_iter().flat_map(|body| body.entries);
    entries
        .filter_map(|entry| match entry {
            BodyEntry::Present { entry, .. } => Some(entry),
            BodyEntry::Erased { .. } => None,
        })
        .collect()
}

/// Reads a pending row's body again from where it was found.
pub(super) fn read_body(file: &DamagedFile, found: &FoundPending) -> Option<Vec<u8>> {
    read_again(file, found.place, |columns| match columns.last()? {
        Column::Blob(body) => Some(body.to_vec()),
        _ => None,
    })
}

fn read_change(file: &DamagedFile, found: &FoundPending) -> Option<Change> {
    matches!(found.adds, Adds::Change { .. }).then(|| document::scan(&read_body(file, found)?).ok()).flatten()
}
