//! Whatever is revoked, adopted, discarded, forked and erased, and in whatever order and by whatever way
//! it arrives: everybody who holds the same batches has the same rows, and so has whoever holds only
//! those that stand.

use proptest::prelude::*;

use super::fixture::{BUDGET, World, chunk, event, sets};
use super::{CarriedOutcome, Store, WriteError};
use crate::batch::{Lane, SealedBatch};
use crate::control::{Cut, Discarded, adopt, discard, erase, revoke_device};
use crate::id::{BatchId, DeviceId, RecordId, SpaceId};
use crate::position::Height;

const KIND: &str = "event";
/// Who is going to be revoked, and has a copy of its database on another phone.
const SUSPECT: usize = 2;
const COPY: usize = 3;

#[derive(Debug, Clone)]
enum Act {
    Put {
        by: usize,
        record: u8,
        title: String,
    },
    Patch {
        by: usize,
        record: u8,
        field: u8,
        value: String,
    },
    Withdraw {
        by: usize,
        record: u8,
    },
    Track {
        by: usize,
        id: u8,
        patrol: u8,
    },
    /// Two devices meet: each gets what it lacks.
    Meet {
        one: usize,
        other: usize,
    },
    /// A device brings the log what it has, and gets what is there.
    Link {
        by: usize,
    },
    /// The suspect is revoked, with what somebody knows of its chains, less some.
    Revoke {
        as_known_to: usize,
        less: u64,
    },
    Adopt {
        batch: usize,
    },
    Discard {
        up_to: u64,
    },
    Erase {
        record: u8,
    },
    EraseTrack {
        patrol: u8,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let by = 0usize..4;
    let record = 0u8..3;
    prop_oneof![
        3 => (by.clone(), record.clone(), "[a-c]").prop_map(|(by, record, title)| Act::Put { by, record, title }),
        9 => (by.clone(), record.clone(), 0u8..3, "[a-c]")
            .prop_map(|(by, record, field, value)| Act::Patch { by, record, field, value }),
        1 => (by.clone(), record.clone()).prop_map(|(by, record)| Act::Withdraw { by, record }),
        2 => (by.clone(), 0u8..4, 0u8..2).prop_map(|(by, id, patrol)| Act::Track { by, id, patrol }),
        9 => (by.clone(), by.clone()).prop_map(|(one, other)| Act::Meet { one, other }),
        3 => (0usize..2).prop_map(|by| Act::Link { by }),
        2 => (0usize..2, 0u64..3).prop_map(|(as_known_to, less)| Act::Revoke { as_known_to, less }),
        1 => (0usize..64).prop_map(|batch| Act::Adopt { batch }),
        1 => (1u64..4).prop_map(|up_to| Act::Discard { up_to }),
        1 => record.prop_map(|record| Act::Erase { record }),
        1 => (0u8..2).prop_map(|patrol| Act::EraseTrack { patrol }),
    ]
}

fn id(record: u8) -> RecordId {
    RecordId::from_bytes([record + 1; 16])
}

/// What cannot be recorded any more is no news here.
fn unless_in_vain<T>(result: Result<T, WriteError>) {
    match result {
        Ok(_) | Err(WriteError::NotFound(_) | WriteError::Erased(_) | WriteError::Superseded(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
}

/// Devices, and every batch that was ever made.
struct Field {
    world: World,
    devices: Vec<Store>,
    pool: Vec<SealedBatch>,
    /// What was brought to the relay.
    log: Vec<(u64, SealedBatch)>,
}

impl Field {
    fn new() -> Self {
        let mut world = World::new();
        let devices = vec![world.device(1, 0), world.device(2, 1), world.device(3, 1)];
        let mut field = Self { world, devices, pool: Vec::new(), log: Vec::new() };
        // The same key and randomness make the same name: a copy of the file from before.
        field.devices.push(field.world.stranger(3));
        assert_eq!(field.devices[SUSPECT].incarnation(), field.devices[COPY].incarnation());
        field.gather();
        let control = field.pool.clone();
        for device in &field.devices {
            device.ingest_carried(field.space(), &control).unwrap();
        }
        field
    }

    fn space(&self) -> SpaceId {
        self.world.space
    }

    fn suspect(&self) -> DeviceId {
        self.devices[SUSPECT].device().unwrap()
    }

    fn add(&mut self, batch: SealedBatch) {
        if self.pool.iter().all(|held| held.id() != batch.id()) {
            self.pool.push(batch);
        }
    }

    /// Seals what is pending, and notes every batch that is new.
    fn gather(&mut self) {
        let space = self.space();
        for (_, batch) in self.world.log.clone() {
            self.add(batch);
        }
        for device in self.devices.clone() {
            device.seal_pending(space).unwrap();
            let (batches, exhausted) = device.batches_above(space, &[], false, usize::MAX).unwrap();
            assert!(exhausted);
            let own = |batch: &SealedBatch| Some(batch.header().device) == device.device();
            batches.into_iter().filter(own).for_each(|batch| self.add(batch));
        }
    }

    fn perform(&mut self, act: &Act) {
        let space = self.space();
        match act {
            Act::Put { by, record, title } => {
                let fields = event(title, f64::from(*record), 13.0);
                unless_in_vain(self.devices[*by].write(|w| w.put(space, KIND, Some(id(*record)), fields)));
            }
            Act::Patch { by, record, field, value } => {
                let puts = sets(["title", "note", "x"][usize::from(*field)], value.as_str());
                unless_in_vain(self.devices[*by].write(|w| w.patch(space, KIND, id(*record), puts)));
            }
            Act::Withdraw { by, record } => {
                unless_in_vain(self.devices[*by].write(|w| w.withdraw(space, KIND, id(*record))));
            }
            Act::Track { by, id, patrol } => {
                let chunk = chunk(*id, *patrol, i64::from(*id) + *by as i64, 3);
                unless_in_vain(self.devices[*by].write(|w| w.add_track(space, chunk)));
            }
            Act::Meet { one, other } => {
                self.gather();
                meet(space, &self.devices[*one], &self.devices[*other]);
            }
            Act::Link { by } => self.link(*by),
            Act::Revoke { as_known_to, less } => {
                let heights = self.devices[*as_known_to].heights(space).unwrap();
                let known = heights.iter().filter(|height| height.device == self.suspect());
                let cut = known.filter_map(|height| self.cut_at(height, height.seq.checked_sub(*less)?));
                let statements = revoke_device(self.suspect(), "lost", cut.collect()).unwrap();
                self.world.control(&statements);
            }
            Act::Adopt { batch } => {
                self.gather();
                let suspects: Vec<_> =
                    self.pool.iter().filter(|batch| batch.header().device == self.suspect()).collect();
                if let Some(batch) = suspects.get(batch % suspects.len().max(1)) {
                    let header = batch.header();
                    let (incarnation, lane) = (header.incarnation, header.lane);
                    let cut = Cut { incarnation, lane, seq: header.seq, batch: batch.id() };
                    let statements = adopt(self.suspect(), vec![cut]).unwrap();
                    self.world.control(&statements);
                }
            }
            Act::Discard { up_to } => {
                let incarnation = self.devices[SUSPECT].incarnation();
                let chain = Discarded { incarnation, lane: Lane::Normal, seq: *up_to };
                let statements = discard(self.suspect(), vec![chain]).unwrap();
                self.world.control(&statements);
            }
            Act::Erase { record } => self.world.control(&[erase(KIND, id(*record)).unwrap()]),
            Act::EraseTrack { patrol } => {
                self.world.control(&[erase("track", RecordId::from_bytes([*patrol; 16])).unwrap()]);
            }
        }
    }

    /// A batch of one of the suspect's chains at a place, as somebody has it.
    fn cut_at(&self, chain: &Height, seq: u64) -> Option<Cut> {
        let Height { device, incarnation, lane, .. } = *chain;
        let is_there = |batch: &&SealedBatch| {
            let header = batch.header();
            (header.device, header.incarnation, header.lane, header.seq) == (device, incarnation, lane, seq)
        };
        let batch = self.pool.iter().find(is_there)?.id();
        Some(Cut { incarnation, lane, seq, batch })
    }

    fn link(&mut self, by: usize) {
        let space = self.space();
        let device = self.devices[by].clone();
        for (_, batch) in self.world.log.clone() {
            self.bring(batch);
        }
        let (batches, _) = device.outgoing(&[], &[space], BUDGET).unwrap();
        let ids: Vec<_> = batches.iter().map(SealedBatch::id).collect();
        batches.into_iter().for_each(|batch| self.bring(batch));
        device.acknowledge(&ids).unwrap();
        device.ingest(space, &self.log, None).unwrap();
        self.gather();
    }

    fn bring(&mut self, batch: SealedBatch) {
        if self.log.iter().all(|(_, held)| held.id() != batch.id()) {
            self.log.push((self.log.len() as u64 + 1, batch));
        }
    }

    /// Gives everybody everything, until nobody has anything to add.
    fn settle(&mut self) {
        loop {
            self.gather();
            let before = self.pool.len();
            for device in &self.devices {
                carry(self.space(), device, &self.pool);
            }
            self.gather();
            if self.pool.len() == before {
                return;
            }
        }
    }
}

fn meet(space: SpaceId, one: &Store, other: &Store) {
    for (from, to) in [(one, other), (other, one)] {
        let heights = to.heights(space).unwrap();
        let (batches, exhausted) = from.batches_above(space, &heights, false, usize::MAX).unwrap();
        assert!(exhausted);
        to.ingest_carried(space, &batches).unwrap();
    }
}

/// Carries batches to somebody until they lack none. All of them each time: where a copy of the own
/// database was first, own batches that were held give way, and come back as those of a branch that
/// does not stand.
fn carry(space: SpaceId, to: &Store, batches: &[SealedBatch]) {
    let mut before = Vec::new();
    loop {
        let outcomes = to.ingest_carried(space, batches).unwrap().outcomes;
        if !outcomes.contains(&CarriedOutcome::Missing) {
            return;
        }
        assert_ne!(outcomes, before, "nothing fits any more");
        before = outcomes;
    }
}

fn shuffled(batches: &[SealedBatch], seed: u64) -> Vec<SealedBatch> {
    let mut keyed: Vec<_> = batches.iter().chain(batches.iter().step_by(3)).cloned().enumerate().collect();
    keyed.sort_by_key(|(n, _)| {
        *blake3::hash(&[seed.to_be_bytes(), (*n as u64).to_be_bytes()].concat()).as_bytes()
    });
    keyed.into_iter().map(|(_, batch)| batch).collect()
}

fn logged(batches: &[SealedBatch]) -> Vec<(u64, SealedBatch)> {
    (1..).zip(batches.iter().cloned()).collect()
}

/// What stands of the pool, in the order of the pool.
fn standing(field: &Field, holder: &Store) -> Vec<SealedBatch> {
    let (stands, _) = holder.batches_above(field.space(), &[], false, usize::MAX).unwrap();
    let ids: Vec<BatchId> = stands.iter().map(SealedBatch::id).collect();
    field.pool.iter().filter(|batch| ids.contains(&batch.id())).cloned().collect()
}

/// A few; `PROPTEST_CASES` asks for more.
fn cases() -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig::default();
    ProptestConfig { cases: if asked { default.cases } else { 32 }, ..default }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_rows_depend_on_the_batches_held_and_on_nothing_else(
        acts in proptest::collection::vec(act(), 1..50),
        seed in any::<u64>(),
    ) {
        let mut field = Field::new();
        for act in &acts {
            field.perform(act);
        }
        field.settle();
        let space = field.space();
        let in_order = field.world.replica();
        in_order.ingest(space, &logged(&field.pool), None).unwrap();
        let expected = in_order.digest(space).unwrap();

        for device in &field.devices[..SUSPECT] {
            prop_assert_eq!(device.digest(space).unwrap(), expected);
            prop_assert_eq!(device.heights(space).unwrap(), in_order.heights(space).unwrap());
        }
        let carried = field.world.stranger(9);
        carry(space, &carried, &shuffled(&field.pool, seed));
        let one_by_one = field.world.stranger(10);
        let mut left = shuffled(&field.pool, seed.wrapping_add(1));
        while !left.is_empty() {
            let before = left.len();
            left.retain(|batch| {
                one_by_one.ingest_carried(space, std::slice::from_ref(batch)).unwrap().outcomes[0]
                    == CarriedOutcome::Missing
            });
            prop_assert!(left.len() < before);
        }
        let from_a_log = field.world.replica();
        for batch in logged(&shuffled(&field.pool, seed.wrapping_add(2))) {
            from_a_log.ingest(space, &[batch], None).unwrap();
        }
        // What is in quarantine reaches nobody, and nobody needs it.
        let of_what_stands = field.world.replica();
        of_what_stands.ingest(space, &logged(&standing(&field, &in_order)), None).unwrap();
        for store in [&carried, &one_by_one, &from_a_log, &of_what_stands] {
            prop_assert_eq!(store.digest(space).unwrap(), expected);
            prop_assert_eq!(store.heights(space).unwrap(), in_order.heights(space).unwrap());
        }
        let held = |store: &Store| store.quarantined(space).unwrap();
        prop_assert_eq!(held(&carried), held(&one_by_one));
        prop_assert_eq!(held(&carried).len(), held(&in_order).len());
    }
}
