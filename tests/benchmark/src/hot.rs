//! The functions that every record passes through, on the records of the workloads.
//!
//! Both guards use them: criterion for time on one's own machine, callgrind for instructions in CI.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use barid_core::batch::{BatchKind, ChangeEntry, Entry, Lane, SealSpec, SealedBatch, seal};
use barid_core::clock::Timestamp;
use barid_core::control::{
    ControlChain, SpaceKind, SpaceOrganisation, admit_device, found_organisation, found_space,
};
use barid_core::document::{Change, Document, FirstFolded, create, fold_first, scan};
use barid_core::id::{ActorId, BatchId, ChainId, Incarnation, SpaceId};
use barid_core::identity::Identity;
use barid_core::store::{Store, StoreConfig};

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
    /// Made when it is asked for, so that nothing else is counted with its leavings.
    taking: OnceLock<Taking>,
}

/// A replica in memory, and what it takes in, batch after batch.
#[derive(Debug)]
struct Taking {
    store: Store,
    space: SpaceId,
    batches: Vec<SealedBatch>,
    taken: AtomicUsize,
}

/// A function by its name, what it does once, and how many records that is about.
pub type Function = (&'static str, fn(&Hot) -> usize, u32);

/// Every hot function. Each gives a number, so that none is optimised away.
pub const FUNCTIONS: [Function; 7] = [
    ("create", |hot| create_all(hot), BATCH),
    ("scan", |hot| hot.raw.iter().map(|raw| scan(raw).map_or(0, |change| change.ops.len())).sum(), BATCH),
    ("fold", |hot| hot.changes.iter().map(|change| fold_first(change).map_or(0, fields)).sum(), BATCH),
    ("seal", |hot| hot.seal().as_bytes().len(), BATCH),
    ("verify", |hot| verify(hot.batch.as_bytes()), BATCH),
    ("merge", |hot| merge(&hot.conflict), 1),
    ("take_in", |hot| hot.taking.get_or_init(|| Taking::new(&hot.identity)).next(), BATCH),
];

fn fields(folded: FirstFolded<'_>) -> usize {
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
        Self { identity, raw, changes, entries, batch, conflict, taking: OnceLock::new() }
    }

    fn seal(&self) -> SealedBatch {
        seal(spec(&self.identity), &self.entries).expect("a hundred records are a batch")
    }
}

/// Batches that can be taken in, each once; criterion asks for more, and is given held ones again.
const BATCHES: u32 = 16;

impl Taking {
    fn new(author: &Identity) -> Self {
        let key = Identity::from_seed([8; 32]);
        let (organisation, founding) =
            found_organisation("agency", "جهة", "Agency", key.device(), [1; 16]).expect("an agency");
        let named = [SpaceOrganisation { id: organisation, key: key.device() }];
        let (space, genesis) =
            found_space(SpaceKind::Joint, "مشترك", "Joint", &[key.device()], &named, [3; 16])
                .expect("a space can be founded");
        let admitted =
            admit_device(author.device(), 1, organisation, "phone", "patrol").expect("it is admitted");
        let mut chain = ControlChain::new(&key, Incarnation::from_bytes([2; Incarnation::LEN]), space);
        let control = chain.seal(&[genesis, founding, admitted], TIME, [5; 16]).expect("it fits a batch");
        let store = Store::open(StoreConfig { kinds: observation::kinds(), ..StoreConfig::in_memory() })
            .expect("a store in memory opens");
        store.join_space(space).expect("a space is joined");
        store.ingest(space, &[(1, control)], None).expect("the founder's words are taken");
        let mut prev = BatchId::from_bytes([0; 32]);
        let incarnation = Incarnation::from_bytes([1; Incarnation::LEN]);
        let actor = ChainId::derive(author.device(), incarnation, space, Lane::Normal).actor();
        let batches = (0..BATCHES)
            .map(|batch| {
                let numbers = (batch + 1) * BATCH..(batch + 2) * BATCH;
                let entries: Vec<Entry> = numbers
                    .map(|number| {
                        let (record, kind) = (record(number).id, observation::NAME.to_owned());
                        Entry::Change(ChangeEntry {
                            record,
                            kind,
                            continues: false,
                            change: first_change(actor, number),
                        })
                    })
                    .collect();
                let spec = SealSpec { space, seq: u64::from(batch) + 1, prev, ..spec(author) };
                let batch = seal(spec, &entries).expect("a hundred records are a batch");
                prev = batch.id();
                batch
            })
            .collect();
        Self { store, space, batches, taken: AtomicUsize::new(0) }
    }

    fn next(&self) -> usize {
        let at = self.taken.fetch_add(1, Ordering::Relaxed) % self.batches.len();
        let batch = (at as u64 + 2, self.batches[at].clone());
        self.store.ingest(self.space, &[batch], None).expect("it is taken in");
        BATCH as usize
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
