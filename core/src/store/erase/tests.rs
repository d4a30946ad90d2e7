use std::fs;

use crate::control::erase;
use crate::id::RecordId;
use crate::store::fixture::{BUDGET, World, chunk, event, sets};
use crate::store::{Query, Store, StoreConfig, WriteError};

/// Nothing else in a database reads like this.
const SECRET: &str = "Xq7rendezvousZk3";
const FOLDED: &str = "xq7rendezvouszk3";

/// Whether any file beside and with the database has these letters.
fn is_in_files(directory: &std::path::Path, text: &str) -> bool {
    fs::read_dir(directory).unwrap().any(|entry| {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn what_is_erased_is_gone_from_the_file_and_never_returns() {
    let mut world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    let store = Store::open(StoreConfig { path: Some(path), ..world.config(1) }).unwrap();
    store.join_space(world.space).unwrap();
    world.admit(store.device().unwrap(), 0);
    let (space, other) = (world.space, world.device(2, 1));
    let put = |store: &Store, title: &str| {
        store.write(|w| w.put(space, "event", None, event(title, 26.0, 14.0))).unwrap()
    };
    world.download(&store);
    world.download(&other);
    let (mine, kept) = (put(&store, SECRET), put(&store, "kept"));
    world.upload(&store);
    world.download(&other);
    other.write(|w| w.patch(space, "event", mine, sets("note", format!("{SECRET} at night")))).unwrap();
    let theirs = put(&other, SECRET);
    world.upload(&other);
    world.download(&store);
    // Something sealed that is on its way, and something that is not sealed yet.
    store.write(|w| w.patch(space, "event", mine, sets("note", format!("{SECRET} sealed")))).unwrap();
    let unsent = store.outgoing(&[], &[], BUDGET).unwrap().0;
    store.write(|w| w.patch(space, "event", mine, sets("note", format!("{SECRET} pending")))).unwrap();
    assert!(is_in_files(directory.path(), SECRET) && is_in_files(directory.path(), FOLDED));
    let before = world.log.clone();

    world.control(&[erase("event", mine).unwrap(), erase("event", theirs).unwrap()]);
    world.download(&store);
    assert!(!is_in_files(directory.path(), SECRET) && !is_in_files(directory.path(), FOLDED));
    for id in [mine, theirs] {
        assert_eq!(store.get(space, "event", id).unwrap(), None);
    }
    let found = store.query(&Query { text: Some(SECRET.to_owned()), ..Query::default() }).unwrap();
    assert!(found.records.is_empty());
    assert!(store.get(space, "event", kept).unwrap().is_some());

    // What was on its way leaves without it, as the same batch.
    let rest = store.outgoing(&[], &[], BUDGET).unwrap().0;
    assert_eq!(
        rest.iter().map(|b| b.id()).collect::<Vec<_>>(),
        unsent.iter().map(|b| b.id()).collect::<Vec<_>>()
    );
    rest.iter().for_each(|batch| batch.verify_signature().unwrap());
    // And whatever comes again comes without it.
    let late = world.stranger(7);
    let control = world.log.iter().filter(|(_, batch)| before.iter().all(|(_, b)| b != batch));
    let control: Vec<_> = control.map(|(_, batch)| batch.clone()).collect();
    late.ingest_carried(space, &before.iter().map(|(_, b)| b.clone()).collect::<Vec<_>>()).unwrap();
    late.ingest_carried(space, &control).unwrap();
    let again = world.replica();
    again.ingest_carried(space, &late.batches_above(space, &[], false, usize::MAX).unwrap().0).unwrap();
    store.reset_cursor(space).unwrap();
    store.ingest(space, &before, None).unwrap();
    for store in [&store, &late, &again] {
        assert_eq!(store.get(space, "event", mine).unwrap(), None);
        assert_eq!(store.counts().unwrap().records, 1);
    }
    let error = store.write(|w| w.put(space, "event", Some(mine), event("new", 1.0, 1.0))).unwrap_err();
    assert!(matches!(error, WriteError::Erased(id) if id == mine));
}

#[test]
fn a_patrols_track_is_erased_whatever_has_become_of_its_chunks() {
    let mut world = World::new();
    let (one, replica) = (world.device(1, 0), world.replica());
    let space = world.space;
    world.download(&one);
    for (id, patrol) in [(1, 4), (2, 5)] {
        one.write(|w| w.add_track(space, chunk(id, patrol, 0, 5))).unwrap();
    }
    world.upload(&one);
    one.write(|w| w.add_track(space, chunk(3, 4, 100, 5))).unwrap();
    world.download(&replica);
    let patrol = RecordId::from_bytes([4; 16]);
    world.control(&[erase("track", patrol).unwrap()]);
    for store in [&one, &replica] {
        world.download(store);
        assert!(store.tracks(space, patrol).unwrap().is_empty());
        assert_eq!(store.tracks(space, RecordId::from_bytes([5; 16])).unwrap().len(), 1);
    }
    assert_eq!(one.counts().unwrap().unsent_changes, 0);
    assert!(one.write(|w| w.add_track(space, chunk(9, 4, 0, 1))).is_err());
    assert_eq!(one.digest(space).unwrap(), replica.digest(space).unwrap());
}
