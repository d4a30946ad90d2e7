//! Batches of a member who writes what it likes, taken in by a real store, as a phone and as the
//! relay's worker take them in: none stops the others, and the order of chains decides no row.

use std::sync::Arc;

use barid_core::batch::{Lane, SealedBatch};
use barid_core::clock::Timestamp;
use barid_core::control::{
    ControlChain, SpaceKind, SpaceOrganisation, admit_device, found_organisation, found_space,
};
use barid_core::id::{ActorId, Incarnation, RecordId, SpaceId};
use barid_core::identity::Identity;
use barid_core::store::{IngestError, Record, Store, StoreConfig};

use super::super::{Target, bits, signal};
use super::Choices;
use super::document::{Authors, seeds};
use crate::forge::{self, Chain, change_entry};

/// Inputs that one pair of stores takes in before new ones are begun.
const INPUTS_A_STORE: u32 = 200;
/// Chains that one input writes to, each of its own incarnation.
const CHAINS: usize = 8;
/// Entries that one input makes, at most.
const ENTRIES_MAX: usize = 32;

/// The language of the changes of one record, and between them entries of any bytes at all.
pub(super) struct Ingest {
    key: Identity,
    space: SpaceId,
    control: SealedBatch,
    stores: Vec<Store>,
    inputs: u32,
    offset: u64,
    incarnations: u64,
}

impl Ingest {
    pub(super) fn new() -> Self {
        let administrator = Identity::from_seed([1; 32]);
        let key = administrator.device();
        let (organisation, founded) = found_organisation("police", "شرطة", "Police", key, [1; 16]).unwrap();
        let organisations = [SpaceOrganisation { id: organisation, key }];
        let (space, begun) =
            found_space(SpaceKind::Joint, "مشترك", "Joint", &[key], &organisations, [2; 16]).unwrap();
        let admitted = admit_device(forge::rogue_device(), 1, organisation, "Rogue", "patrol").unwrap();
        let mut chain = ControlChain::new(&administrator, Incarnation::from_bytes([1; 8]), space);
        let control = chain.seal(&[begun, founded, admitted], Timestamp::from_millis(1), [0; 16]).unwrap();
        let mut target = Self {
            key: forge::rogue(),
            space,
            control,
            stores: Vec::new(),
            inputs: 0,
            offset: 0,
            incarnations: 0,
        };
        target.begin();
        target
    }

    fn begin(&mut self) {
        let open = |number: u8| {
            let identity = Some(Arc::new(Identity::from_seed([20 + number; 32])));
            let store = Store::open(StoreConfig { identity, ..StoreConfig::in_memory() }).unwrap();
            store.join_space(self.space).unwrap();
            store.ingest(self.space, &[(1, self.control.clone())], None).unwrap();
            store
        };
        self.stores = (0..2).map(open).collect();
        (self.inputs, self.offset) = (0, 1);
    }
}

impl Target for Ingest {
    fn name(&self) -> &'static str {
        "ingest"
    }

    fn len_max(&self) -> usize {
        1024
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let junk = [&[0xf1, 20][..], &[1; 20], &[0xf2, 3, 2, 0, 0, 0xf0, 2, 200, 9]].concat();
        seeds().into_iter().chain([[seeds()[0].as_slice(), &junk].concat()]).collect()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        self.inputs += 1;
        if self.inputs > INPUTS_A_STORE {
            self.begin();
        }
        let first = self.incarnations;
        self.incarnations += CHAINS as u64;
        let chain = |number: usize| Chain::new(&self.key, first + number as u64, self.space, Lane::Normal);
        let actor = |number: usize| ActorId::from_bytes(chain(number % CHAINS).actor());
        let mut record = [9; 16];
        record[..8].copy_from_slice(&first.to_be_bytes());
        let mut entries: [Vec<Vec<u8>>; CHAINS] = Default::default();
        let (mut choices, mut authors) = (Choices(input), Authors::default());
        for _ in 0..ENTRIES_MAX {
            if choices.is_over() {
                break;
            }
            if choices.0[0] >= 0xf0 {
                let (head, len) = (choices.byte(), choices.byte());
                entries[usize::from(head) % CHAINS].push(junk(choices.take(len.into()), record));
            } else if let Some(written) = authors.write(&mut choices, actor) {
                let author = (0..CHAINS).find(|number| actor(*number) == written.change.actor).unwrap();
                entries[author].push(change_entry(record, b"event", written.raw[5] & 1, &written.raw));
            }
        }
        let mut batches = Vec::new();
        for (number, entries) in entries.iter().enumerate() {
            // Two batches of a longer chain, so that they follow each other.
            let mut chain = chain(number);
            for half in entries.chunks(entries.len().div_ceil(2).max(2)) {
                batches.extend(SealedBatch::parse(chain.next_raw(half)).ok());
            }
        }
        let numbered: Vec<(u64, SealedBatch)> = (self.offset + 1..).zip(batches.iter().cloned()).collect();
        self.offset += numbered.len() as u64;
        let report = take_in(&self.stores[0], self.space, &numbered);
        // The other hears of the chains in the opposite order.
        let mut backwards = numbered.clone();
        backwards.sort_by_key(|(offset, batch)| (std::cmp::Reverse(batch.header().incarnation), *offset));
        for one in &backwards {
            take_in(&self.stores[1], self.space, std::slice::from_ref(one));
        }
        let held = [0, 1].map(|store| {
            let record = self.stores[store].get(self.space, "event", RecordId::from_bytes(record)).unwrap();
            // How often a store has changed is its own affair.
            record.map(|record| Record { revision: 0, ..record })
        });
        let mut is_same = held[0] == held[1];
        if self.inputs.is_multiple_of(50) {
            let digest = |store: usize| self.stores[store].digest(self.space).unwrap();
            is_same &= digest(0) == digest(1);
        }
        if !is_same {
            // What one input did must not be found in the next.
            self.begin();
        }
        assert!(is_same, "the order of arrival decides no row");
        signal((report, bits(batches.len())))
    }
}

/// What no phone writes: any bytes as they are, as a change of this record, under strange kinds.
fn junk(bytes: &[u8], record: [u8; 16]) -> Vec<u8> {
    let kinds: [&[u8]; 6] = ["حدث\u{202e}".as_bytes(), b"a\0b", b"\xff", b"track", b"own.kind", b"event"];
    match bytes.split_first() {
        Some((kind @ 0..6, rest)) => change_entry(record, kinds[usize::from(*kind)], 0, rest),
        _ => bytes.to_vec(),
    }
}

fn take_in(store: &Store, space: SpaceId, batches: &[(u64, SealedBatch)]) -> (u32, u32, u32, u32) {
    match store.ingest(space, batches, None) {
        Ok(report) => (bits(report.changed.len()), report.taken, report.waiting, report.refused),
        Err(IngestError::Stopped { stopped, .. }) => panic!("a chain in order stops nothing: {stopped:?}"),
        Err(error) => panic!("{error}"),
    }
}
