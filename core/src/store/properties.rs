//! Whatever several devices do, and in whatever order what they did arrives: everybody who holds the
//! same batches has the same rows.

use proptest::prelude::*;

use super::fixture::{BUDGET, World, chunk, event, sets};
use super::{IngestError, Query, Store, WriteError};
use crate::batch::SealedBatch;
use crate::id::{RecordId, SpaceId};

/// What somebody does. Records are few, so that many collide.
#[derive(Debug, Clone)]
enum Act {
    Put {
        record: u8,
        title: String,
    },
    Patch {
        record: u8,
        field: u8,
        value: Option<String>,
    },
    Withdraw {
        record: u8,
    },
    Restore {
        record: u8,
    },
    Track {
        id: u8,
    },
    /// Several edits in one write, and then perhaps a failure that undoes them.
    Group {
        records: Vec<u8>,
        fails: bool,
    },
    /// Seals what is pending and keeps it.
    Seal,
    Upload,
    Download,
}

const KIND: &str = "event";

fn act() -> impl Strategy<Value = Act> {
    let record = 0u8..4;
    let value = proptest::option::weighted(0.8, "[a-c]");
    prop_oneof![
        3 => (record.clone(), "[a-c]").prop_map(|(record, title)| Act::Put { record, title }),
        6 => (record.clone(), 0u8..4, value).prop_map(|(record, field, value)| Act::Patch { record, field, value }),
        1 => record.clone().prop_map(|record| Act::Withdraw { record }),
        1 => record.clone().prop_map(|record| Act::Restore { record }),
        1 => (0u8..6).prop_map(|id| Act::Track { id }),
        1 => (proptest::collection::vec(record, 1..4), any::<bool>())
            .prop_map(|(records, fails)| Act::Group { records, fails }),
        1 => Just(Act::Seal),
        2 => Just(Act::Upload),
        2 => Just(Act::Download),
    ]
}

fn id(record: u8) -> RecordId {
    RecordId::from_bytes([record + 1; 16])
}

/// Editing what is not there is a mistake of the app, and no news here.
fn unless_not_found(result: Result<(), WriteError>) {
    match result {
        Ok(()) | Err(WriteError::NotFound(_)) => {}
        Err(error) => panic!("{error:?}"),
    }
}

fn perform(world: &mut World, device: &Store, act: &Act) {
    let space = world.space;
    match act {
        Act::Put { record, title } => {
            let fields = event(title, f64::from(*record), 13.0);
            device.write(|w| w.put(space, KIND, Some(id(*record)), fields)).unwrap();
        }
        Act::Patch { record, field, value } => {
            // A captured field is among them, and one that the kind does not know.
            let name = ["title", "note", "lat", "x"][usize::from(*field)];
            let value = match (name, value) {
                ("lat", Some(value)) => Some(f64::from(value.as_bytes()[0]).into()),
                (_, value) => value.as_ref().map(|value| value.as_str().into()),
            };
            let puts = [(name.to_owned(), value)].into();
            unless_not_found(device.write(|w| w.patch(space, KIND, id(*record), puts)));
        }
        Act::Withdraw { record } => {
            unless_not_found(device.write(|w| w.withdraw(space, KIND, id(*record))));
        }
        Act::Restore { record } => {
            unless_not_found(device.write(|w| w.restore(space, KIND, id(*record))));
        }
        Act::Track { id } => device.write(|w| w.add_track(space, chunk(*id, 1, i64::from(*id), 3))).unwrap(),
        Act::Group { records, fails } => unless_not_found(device.write(|w| {
            for record in records {
                w.patch(space, KIND, id(*record), sets("note", "group"))?;
            }
            if *fails { Err(WriteError::NotFound(id(0))) } else { Ok(()) }
        })),
        Act::Seal => drop(device.outgoing(&[], &[], BUDGET).unwrap()),
        Act::Upload => world.upload(device),
        Act::Download => drop(world.download(device)),
    }
}

/// Feeds batches in this order to somebody who does not take gaps, until all are in.
fn feed(store: &Store, space: SpaceId, mut batches: Vec<(u64, SealedBatch)>) {
    while !batches.is_empty() {
        let before = batches.len();
        batches.retain(|batch| match store.ingest(space, std::slice::from_ref(batch), None) {
            Ok(_) => false,
            Err(IngestError::Stopped { .. }) => true,
            Err(error) => panic!("{error:?}"),
        });
        assert!(batches.len() < before, "nothing fits any more");
    }
}

/// An order of the log that some seed makes, with some batches twice.
fn shuffled(log: &[(u64, SealedBatch)], seed: u64) -> Vec<(u64, SealedBatch)> {
    let mut keyed: Vec<_> = log.iter().chain(log.iter().step_by(3)).cloned().enumerate().collect();
    keyed.sort_by_key(|(n, _)| {
        *blake3::hash(&[seed.to_be_bytes(), (*n as u64).to_be_bytes()].concat()).as_bytes()
    });
    keyed.into_iter().map(|(_, batch)| batch).collect()
}

fn assert_sound(store: &Store, space: SpaceId) {
    let counts = store.counts().unwrap();
    assert_eq!((counts.waiting, counts.refused, counts.unread), (0, 0, 0));
    let all = Query { include_withdrawn: true, limit: 1000, ..Query::default() };
    for record in store.query(&all).unwrap().records {
        let conflicts = store.conflicts(space, &record.kind, record.id).unwrap();
        assert_eq!(conflicts.len() as u32, record.conflicts);
        assert!(!store.history(space, &record.kind, record.id).unwrap().is_empty());
        let title = record.fields.get("title").and_then(|title| title.as_text());
        if let Some(title) = title {
            let query = Query { text: Some(title.to_owned()), ..all.clone() };
            assert!(store.query(&query).unwrap().records.contains(&record), "the index has what the row has");
        }
        if let Some((lat, lon)) = record.place {
            let query = Query { bbox: Some([lat, lon, lat, lon]), ..all.clone() };
            assert!(store.query(&query).unwrap().records.contains(&record));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn everybody_who_holds_the_same_batches_has_the_same_rows(
        acts in proptest::collection::vec((0usize..3, act()), 1..60),
        seed in any::<u64>(),
    ) {
        let mut world = World::new();
        // The last one is admitted at the very end: everything it wrote waits until then.
        let devices = [world.device(1, 0), world.device(2, 1), world.stranger(3)];
        for (device, act) in &acts {
            perform(&mut world, &devices[*device], act);
        }
        for device in &devices {
            world.upload(device);
        }
        world.admit(devices[2].device().unwrap(), 1);
        for device in &devices {
            world.download(device);
        }
        let space = world.space;
        let expected = devices[0].digest(space).unwrap();
        for device in &devices {
            prop_assert_eq!(device.digest(space).unwrap(), expected);
            assert_sound(device, space);
            prop_assert_eq!(device.counts().unwrap().unsent_changes, 0);
        }
        let in_order = world.replica();
        world.download(&in_order);
        let one_by_one = world.replica();
        for batch in shuffled(&world.log, seed) {
            one_by_one.ingest(space, &[batch], None).unwrap();
        }
        let at_once = world.replica();
        at_once.ingest(space, &shuffled(&world.log, seed.wrapping_add(1)), None).unwrap();
        let without_gaps = world.stranger(9);
        feed(&without_gaps, space, shuffled(&world.log, seed.wrapping_add(2)));
        for store in [in_order, one_by_one, at_once, without_gaps] {
            prop_assert_eq!(store.digest(space).unwrap(), expected);
            assert_sound(&store, space);
        }
    }
}
