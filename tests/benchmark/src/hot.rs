//! The functions that every record passes through, on the records of the workloads.
//!
//! Both guards use them: criterion for time on one's own machine, callgrind for instructions in CI.

use std::collections::BTreeMap;

use barid_core::batch::{BatchKind, ChangeEntry, Entry, Lane, SealSpec, SealedBatch, seal};
use barid_core::clock::Timestamp;
use barid_core::document::{Change, Document, Folded, create, fold_one, scan};
use barid_core::id::{ActorId, BatchId, ChainId, Incarnation, SpaceId};
use barid_core::identity::Identity;

use crate::observation;
use crate::record::record;

/// Records of the batch that is sealed, verified and opened.
pub const BATCH: u32 = 100;

const TIME: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const SPACE: SpaceId = SpaceId::from_bytes([3; 32]);

/// What the hot functions work on.
#[derive(Debug)]
pub struct Hot {
    identity: Identity,
    raw: Vec<Vec<u8>>,
    changes: Vec<Change>,
    entries: Vec<Entry>,
    batch: SealedBatch,
    /// A record's first change and two edits that do not know of each other.
    conflict: [Vec<u8>; 3],
}

/// A function by its name, what it does once, and how many records that is about.
pub type Function = (&'static str, fn(&Hot) -> usize, u32);

/// Every hot function. Each gives a number, so that none is optimised away.
pub const FUNCTIONS: [Function; 6] = [
    ("create", |hot| create_all(hot), BATCH),
    ("scan", |hot| hot.raw.iter().map(|raw| scan(raw).map_or(0, |change| change.ops.len())).sum(), BATCH),
    ("fold", |hot| hot.changes.iter().map(|change| fold_one(change).map_or(0, fields)).sum(), BATCH),
    ("seal", |hot| hot.seal().as_bytes().len(), BATCH),
    ("verify", |hot| verify(hot.batch.as_bytes()), BATCH),
    ("merge", |hot| merge(&hot.conflict), 1),
];

fn fields(folded: Folded) -> usize {
    folded.fields.len()
}

fn create_all(hot: &Hot) -> usize {
    let made = (0..BATCH).map(|number| first_change(actor(&hot.identity, 1), number).len());
    made.sum()
}

/// Reads a batch as it comes from a link: structure, signature, the hash of what was signed.
fn verify(bytes: &[u8]) -> usize {
    let batch = SealedBatch::parse(bytes).expect("a sealed batch parses");
    batch.verify_signature().expect("its device signed it");
    batch.open().expect("it opens").entries.len()
}

fn merge(raw: &[Vec<u8>]) -> usize {
    let document = Document::from_changes(raw.iter().map(Vec::as_slice)).expect("the changes merge");
    document.fold().fields.len()
}

fn actor(identity: &Identity, incarnation: u8) -> ActorId {
    let incarnation = Incarnation::from_bytes([incarnation; Incarnation::LEN]);
    ChainId::derive(identity.device(), incarnation, SPACE, Lane::Normal).actor()
}

fn first_change(actor: ActorId, number: u32) -> Vec<u8> {
    let fields = observation::to_fields(&record(number));
    create(actor, TIME, &observation::kind(), &fields).expect("the generator's records can be written")
}

fn edit(raw: &[u8], actor: ActorId, status: &str) -> Vec<u8> {
    let mut document = Document::from_changes([raw]).expect("a first change is a document");
    let puts = BTreeMap::from([("status".to_owned(), Some(status.into()))]);
    document.edit(actor, TIME, &puts).expect("a status can be edited").expect("it was another")
}

impl Hot {
    /// Makes the same input every time.
    pub fn new() -> Self {
        let identity = Identity::from_seed([7; 32]);
        let own = actor(&identity, 1);
        let raw: Vec<Vec<u8>> = (0..BATCH).map(|number| first_change(own, number)).collect();
        let changes = raw.iter().map(|raw| scan(raw).expect("what was written is read")).collect();
        let entry = |(number, change): (usize, &Vec<u8>)| {
            Entry::Change(ChangeEntry {
                record: record(number as u32).id,
                kind: observation::NAME.to_owned(),
                continues: number + 1 < BATCH as usize,
                change: change.clone(),
            })
        };
        let entries: Vec<Entry> = raw.iter().enumerate().map(entry).collect();
        let batch = seal(spec(&identity), &entries).expect("a hundred records are a batch");
        let (a, b) = (actor(&identity, 2), actor(&identity, 3));
        let conflict = [raw[0].clone(), edit(&raw[0], a, "theirs"), edit(&raw[0], b, "ours")];
        Self { identity, raw, changes, entries, batch, conflict }
    }

    fn seal(&self) -> SealedBatch {
        seal(spec(&self.identity), &self.entries).expect("a hundred records are a batch")
    }
}

impl Default for Hot {
    fn default() -> Self {
        Self::new()
    }
}

fn spec(key: &Identity) -> SealSpec<'_> {
    SealSpec {
        key,
        incarnation: Incarnation::from_bytes([1; Incarnation::LEN]),
        space: SPACE,
        lane: Lane::Normal,
        seq: 1,
        prev: BatchId::from_bytes([0; 32]),
        control_head: BatchId::from_bytes([0; 32]),
        kind: BatchKind::Entries,
        claimed_time: TIME,
        seed: [9; 16],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hot_function_does_its_work() {
        let hot = Hot::new();
        for (name, call, records) in FUNCTIONS {
            assert!(call(&hot) >= records as usize, "{name}");
        }
    }
}
