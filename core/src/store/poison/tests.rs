//! A process that is killed at one batch, again and again.

use std::process::Command;
use std::sync::Arc;

use super::*;
use crate::id::RecordId;
use crate::store::fixture::{World, event};

/// Names the database to a process that dies at the poison.
const VARIABLE: &str = "BARID_TEST_POISON";

/// A log of three devices, the same in every process: which of its batches is poison, and the record
/// that is in it.
fn world() -> (World, BatchId, RecordId) {
    let mut world = World::new();
    world.admit(world.stranger(1).device().unwrap(), 0);
    let (two, three) = (world.device(2, 1), world.device(3, 1));
    let put = |store: &Store, world: &World, title: &str| {
        store.write(|w| w.put(world.space, "event", None, event(title, 1.0, 2.0))).unwrap()
    };
    put(&two, &world, "before");
    world.upload(&two);
    let record = put(&two, &world, "poison");
    world.upload(&two);
    let poison = world.log.last().unwrap().1.id();
    put(&two, &world, "after");
    world.upload(&two);
    put(&three, &world, "of another");
    world.upload(&three);
    (world, poison, record)
}

fn at(world: &World, path: &Path) -> StoreConfig {
    StoreConfig { path: Some(path.to_owned()), ..world.config(1) }
}

/// A program that is killed in the middle of taking in the poison.
#[test]
fn takes_in_a_log_and_is_killed_at_the_poison() {
    let Some(path) = std::env::var_os(VARIABLE) else { return };
    let (world, poison, _) = world();
    let note = beside(Path::new(&path), ".decoding");
    let clock = Arc::clone(&world.config(1).clock);
    let mut config = at(&world, Path::new(&path));
    config.clock = Arc::new(move || {
        // Asked for in the middle of the transaction.
        let text = fs::read_to_string(&note).unwrap_or_default();
        if text.contains(&to_hex(poison.as_bytes())) {
            Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
            std::thread::sleep(std::time::Duration::from_secs(60));
        }
        clock()
    });
    let store = Store::open(config).unwrap();
    store.join_space(world.space).unwrap();
    world.download(&store);
}

/// Whether the process came to its end.
fn run(path: &Path) -> bool {
    let test = "store::poison::tests::takes_in_a_log_and_is_killed_at_the_poison";
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", test]).env(VARIABLE, path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("running 1 test"), "{text}");
    assert!(!text.contains("FAILED"), "{text}");
    output.status.success()
}

#[test]
fn a_batch_at_which_the_process_dies_is_set_aside_and_tried_again_by_another_version() {
    let (world, poison, record) = world();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    // In its group, and twice alone.
    let ended: Vec<bool> = (0..4).map(|_| run(&path)).collect();
    assert_eq!(ended, [false, false, false, true]);
    assert!(run(&path), "it is not tried again by the same program");

    let open = || Store::open(at(&world, &path)).unwrap();
    let store = open();
    let counts = store.counts().unwrap();
    assert_eq!((counts.set_aside, counts.records, counts.waiting, counts.refused), (1, 3, 0, 0));
    assert_eq!(store.cursor(world.space).unwrap(), Some(world.cursor_at(world.log.len() as u64)));
    assert!(store.get(world.space, "event", record).unwrap().is_none());
    drop(store);
    let store = open();
    assert_eq!(store.counts().unwrap().set_aside, 1);
    let sql = "UPDATE suspect SET version = 'an older one'";
    assert_eq!(store.inner.writer().connection.execute(sql, []).unwrap(), 1);
    drop(store);
    let store = open();
    assert_eq!(store.counts().unwrap().set_aside, 0);
    assert!(store.get(world.space, "event", record).unwrap().is_some());
    assert!(!store.inner.has_suspects().unwrap());
    let replica = world.replica();
    world.download(&replica);
    assert_eq!(store.digest(world.space).unwrap(), replica.digest(world.space).unwrap());
    assert_eq!(store.inner.deaths(&[poison]).unwrap(), [None]);
}

#[test]
fn what_was_set_aside_is_tried_again_after_some_openings_and_then_after_twice_as_many() {
    let (world, _, record) = world();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    let deaths = |openings: usize| (0..openings).filter(|_| !run(&path)).count();
    assert_eq!(deaths(4), 3);
    assert_eq!((deaths(7), deaths(1)), (0, 1), "at the eighth opening it is tried");
    assert_eq!(deaths(12), 0, "and then the app has peace for longer");
    let open = || Store::open(at(&world, &path)).unwrap();
    for _ in 0..3 {
        assert_eq!(open().counts().unwrap().set_aside, 1);
    }
    let store = open();
    assert_eq!(store.counts().unwrap().set_aside, 0, "whatever was wrong is not wrong any more");
    assert!(store.get(world.space, "event", record).unwrap().is_some());
    assert!(!store.inner.has_suspects().unwrap());
}

#[test]
fn a_process_that_is_killed_by_somebody_else_accuses_no_batch_for_long() {
    let (world, ..) = world();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    let store = Store::open(at(&world, &path)).unwrap();
    store.join_space(world.space).unwrap();
    let ids: Vec<BatchId> = world.log.iter().map(|(_, batch)| batch.id()).collect();
    // It was killed with all of them in hand.
    std::mem::forget(store.inner.note(&ids));
    drop(store);
    let store = Store::open(at(&world, &path)).unwrap();
    assert!(store.inner.has_suspects().unwrap());
    world.download(&store);
    assert!(!store.inner.has_suspects().unwrap());
    assert!(!beside(&path, ".decoding").exists());
    assert_eq!(store.counts().unwrap().set_aside, 0);
    assert_eq!(store.counts().unwrap().records, 4);
    assert_eq!(store.cursor(world.space).unwrap(), Some(world.cursor_at(world.log.len() as u64)));
}

#[test]
fn what_a_peer_carries_is_noted_and_set_aside_like_what_a_log_brings() {
    let (world, poison, record) = world();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    let open = || Store::open(at(&world, &path)).unwrap();
    let carried: Vec<SealedBatch> = world.log.iter().map(|(_, batch)| batch.clone()).collect();
    let ids: Vec<BatchId> = carried.iter().map(SealedBatch::id).collect();
    // It died with all of them in hand, and twice with the one alone.
    for named in [&ids[..], &[poison], &[poison]] {
        let store = open();
        store.join_space(world.space).unwrap();
        std::mem::forget(store.inner.note(named));
    }
    let store = open();
    let report = store.ingest_carried(world.space, &carried).unwrap();
    assert_eq!(report.outcomes.iter().filter(|outcome| **outcome == CarriedOutcome::Waiting).count(), 1);
    assert!(!report.outcomes.contains(&CarriedOutcome::Missing), "what follows it is not held up");
    assert_eq!((store.counts().unwrap().set_aside, store.counts().unwrap().records), (1, 3));
    world.download(&store);
    assert_eq!(store.counts().unwrap().set_aside, 1, "the log brings it too");
    let sql = "UPDATE suspect SET version = 'an older one'";
    store.inner.writer().connection.execute(sql, []).unwrap();
    drop(store);
    let store = open();
    assert_eq!(store.counts().unwrap().set_aside, 0);
    assert!(store.get(world.space, "event", record).unwrap().is_some());
    assert!(store.offset_of(world.space, poison).unwrap().is_some(), "and where it is in the log is known");
    assert_eq!(store.counts().unwrap().carried, 0);
}

#[test]
fn a_panic_leaves_the_note_and_an_error_does_not() {
    let (world, ..) = world();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    let store = Store::open(at(&world, &path)).unwrap();
    let space = SpaceId::from_bytes([1; 32]);
    assert!(store.ingest(space, &world.log, None).is_err());
    assert!(!beside(&path, ".decoding").exists());
    let ids = [world.log[0].1.id()];
    let handle = store.clone();
    let panicked = std::thread::spawn(move || {
        let _note = handle.inner.note(&ids);
        panic!("in the middle");
    });
    assert!(panicked.join().is_err());
    assert!(beside(&path, ".decoding").exists());
}
