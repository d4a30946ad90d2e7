//! Trouble of every kind, and what a store must hold on to in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::fixture::{BUDGET, World, chunk, event, sets};
use super::*;
use crate::batch::SealedBatch;
use crate::id::RecordId;
use crate::model::Value;

/// Everything that must not be half-done.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    digest: [u8; 32],
    pending: Vec<(i64, Vec<u8>)>,
    /// Each batch, and whether it is acknowledged.
    batches: Vec<(i64, Vec<u8>)>,
    cursor: Option<u64>,
    counts: Counts,
}

impl State {
    fn of(store: &Store, world: &World) -> Self {
        let rows = |sql: &str| {
            store.inner.read(|connection| {
                let mut statement = connection.prepare(sql)?;
                let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok::<_, StoreError>(rows.collect::<Result<Vec<(i64, Vec<u8>)>, _>>()?)
            })
        };
        Self {
            digest: store.digest(world.space).unwrap(),
            pending: rows("SELECT id, body FROM pending ORDER BY id").unwrap(),
            batches: rows("SELECT acknowledged, batch FROM batch ORDER BY id").unwrap(),
            cursor: store.cursor(world.space).unwrap().map(|cursor| cursor.offset),
            counts: store.counts().unwrap(),
        }
    }
}

fn in_file(world: &World, path: &Path) -> StoreConfig {
    StoreConfig { path: Some(path.to_owned()), ..world.config(1) }
}

fn open(world: &World, path: &Path) -> Store {
    let store = Store::open(in_file(world, path)).unwrap();
    store.join_space(world.space).unwrap();
    store
}

fn log_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", path.display()))
}

/// Text that does not compress.
fn noise(n: u64, len: usize) -> String {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&n.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes.iter().map(|byte| char::from(b'0' + byte % 64)).collect()
}

fn put(store: &Store, world: &World, title: &str) -> RecordId {
    store.write(|w| w.put(world.space, "event", None, event(title, 26.0, 14.0))).unwrap()
}

fn pragma(store: &Store, name: &str, value: i64) {
    store.inner.writer().connection.pragma_update_and_check(None, name, value, |_| Ok(())).unwrap();
}

/// No more pages than the file has now: to SQLite, a disk that is full.
fn fill_disk(store: &Store) {
    let pages = store.inner.writer().connection.pragma_query_value(None, "page_count", |row| row.get(0));
    pragma(store, "max_page_count", pages.unwrap());
}

fn free_disk(store: &Store) {
    pragma(store, "max_page_count", 1 << 30);
}

/// A device with records of its own and of others, and something of everything to come.
fn busy(world: &mut World, path: &Path) -> (Store, RecordId, RecordId) {
    let store = open(world, path);
    world.admit(store.device().unwrap(), 0);
    let other = world.device(2, 1);
    world.download(&other);
    let theirs = put(&other, world, "theirs");
    world.upload(&other);
    world.download(&store);
    let ours = put(&store, world, "ours");
    for n in 0..6u64 {
        world.download(&other);
        other.write(|w| w.patch(world.space, "event", theirs, sets("priority", n as i64))).unwrap();
        put(&other, world, &noise(n, n as usize * 900));
        world.upload(&other);
    }
    (store, ours, theirs)
}

/// Does one thing after the other to a busy store.
fn work(store: &Store, world: &World, ours: RecordId, theirs: RecordId, mut after_each: impl FnMut(&Store)) {
    let space = world.space;
    store
        .write(|w| {
            w.put(space, "alert", None, event("sos", 26.0, 14.0))?;
            w.patch(space, "event", ours, sets("note", "الماء نفد"))?;
            w.add_track(space, chunk(1, 9, 1000, 900))?;
            w.withdraw(space, "event", theirs)
        })
        .unwrap();
    after_each(store);
    put(store, world, &noise(50, 9000));
    after_each(store);
    let (batches, _) = store.outgoing(&[], &[], 1).unwrap();
    after_each(store);
    store.acknowledge(&batches.iter().map(SealedBatch::id).collect::<Vec<_>>()).unwrap();
    after_each(store);
    world.download(store);
    after_each(store);
    store.write(|w| w.patch(space, "event", theirs, sets("note", "again"))).unwrap();
    after_each(store);
    for budget in [1, 1, usize::MAX] {
        let (batches, _) = store.outgoing(&[], &[], budget).unwrap();
        after_each(store);
        store.acknowledge(&batches.iter().take(1).map(SealedBatch::id).collect::<Vec<_>>()).unwrap();
        after_each(store);
    }
    store.relay_heights(space, &[]).unwrap();
    after_each(store);
}

#[test]
fn a_power_cut_at_any_moment_leaves_a_state_between_two_steps() {
    let mut world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    let (store, ours, theirs) = busy(&mut world, &path);
    drop(store);
    let store = open(&world, &path);
    // What was written at the opening is in the file: a cut takes it no more.
    let fold = "PRAGMA wal_checkpoint(TRUNCATE)";
    store.inner.writer().connection.query_row(fold, [], |_| Ok(())).unwrap();
    pragma(&store, "wal_autocheckpoint", 0);
    let mut states = vec![State::of(&store, &world)];
    work(&store, &world, ours, theirs, |store| states.push(State::of(store, &world)));
    let (file, log) = (fs::read(&path).unwrap(), fs::read(log_of(&path)).unwrap());
    let cut = directory.path().join("cut.db");
    let mut reached = 0;
    let mut seen = BTreeSet::new();
    let step = log.len() / 48;
    for len in (0..log.len()).step_by(step).chain([log.len()]) {
        fs::write(&cut, &file).unwrap();
        fs::write(log_of(&cut), &log[..len]).unwrap();
        fs::copy(lock::beside(&path, ".token"), lock::beside(&cut, ".token")).unwrap();
        let store = Store::open(in_file(&world, &cut)).unwrap();
        let state = State::of(&store, &world);
        let at = states.iter().rposition(|known| *known == state);
        let at = at.unwrap_or_else(|| panic!("cut at {len} of {}: {:?}", log.len(), state.counts));
        assert!(at >= reached, "what was durable is gone");
        reached = at;
        seen.insert(at);
        // And it works on: what was sealed leaves as it was, the rest can be sealed.
        let sealed: Vec<_> = state.batches.iter().filter(|(held, _)| *held == 0).collect();
        let (batches, _) = store.outgoing(&[], &[], usize::MAX).unwrap();
        let ids: Vec<_> = batches.iter().map(|batch| batch.id().as_bytes().to_vec()).collect();
        assert!(sealed.iter().all(|(_, id)| ids.contains(id)));
    }
    assert_eq!(reached, states.len() - 1);
    assert!(seen.len() > states.len() / 2, "the cuts met most of the steps");
}

#[test]
fn a_full_disk_is_said_to_be_full_and_nothing_is_half_done() {
    let mut world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let (store, ours, theirs) = busy(&mut world, &directory.path().join("field.db"));
    let space = world.space;
    let long = noise(1, 20_000);
    put(&store, &world, &long);
    fill_disk(&store);
    let before = State::of(&store, &world);
    let error = store
        .write(|w| {
            w.patch(space, "event", ours, sets("note", "short"))?;
            w.put(space, "event", None, event(&long, 26.0, 14.0))
        })
        .unwrap_err();
    assert!(matches!(&error, WriteError::Store(error) if error.is_full()), "{error:?}");
    assert_eq!(State::of(&store, &world), before);
    let error = store.outgoing(&[], &[], BUDGET).unwrap_err();
    assert!(error.is_full(), "{error:?}");
    assert_eq!(State::of(&store, &world), before);
    let error = world.try_download(&store).unwrap_err();
    assert!(matches!(&error, IngestError::Store(error) if error.is_full()), "{error:?}");
    assert_eq!(State::of(&store, &world), before);
    free_disk(&store);
    work(&store, &world, ours, theirs, |_| {});
    assert_eq!(store.get(space, "event", ours).unwrap().unwrap().fields["note"], Value::from("الماء نفد"));
}

#[test]
fn a_write_that_passes_over_an_error_in_its_middle_is_not_kept() {
    let mut world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let (store, ours, _) = busy(&mut world, &directory.path().join("field.db"));
    let space = world.space;
    let before = State::of(&store, &world);
    let long = noise(1, 60_000);
    let result = store.write(|w| {
        for n in 0..9 {
            let _ = w.patch(space, "event", ours, sets(&format!("note/{n}"), long.as_str()));
        }
        w.patch(space, "event", ours, sets("note", "after"))
    });
    assert!(result.is_err());
    assert_eq!(State::of(&store, &world), before);
    let result = store.write(|w| {
        for n in 0..60 {
            let _ = w.add_track(space, chunk(n, 9, 1000, 4000));
        }
        Ok::<_, WriteError>(())
    });
    assert!(result.is_err());
    assert_eq!(State::of(&store, &world), before);
    fill_disk(&store);
    let result = store.write(|w| {
        for n in 0..60u64 {
            let _ = w.put(space, "event", None, event(&format!("{n} {}", noise(n, 3000)), 1.0, 2.0));
        }
        w.patch(space, "event", ours, sets("note", "after"))
    });
    assert!(result.is_err());
    assert_eq!(State::of(&store, &world), before);
    free_disk(&store);
    assert!(store.outgoing(&[], &[], usize::MAX).unwrap().1);
}

#[test]
fn an_edit_of_what_is_not_there_may_be_passed_over() {
    let world = World::new();
    let store = world.stranger(1);
    let id = RecordId::from_bytes([5; 16]);
    store
        .write(|w| match w.patch(world.space, "event", id, sets("note", "x")) {
            Err(WriteError::NotFound(_)) => {
                w.put(world.space, "event", Some(id), event("new", 1.0, 2.0)).map(drop)
            }
            other => other,
        })
        .unwrap();
    assert!(store.get(world.space, "event", id).unwrap().is_some());
}

#[test]
fn a_panic_in_a_write_leaves_the_store_as_it_was() {
    let mut world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let (store, ours, theirs) = busy(&mut world, &directory.path().join("field.db"));
    let before = State::of(&store, &world);
    let handle = store.clone();
    let space = world.space;
    let panicked = std::thread::spawn(move || {
        handle.write(|w| -> Result<(), WriteError> {
            let id = w.put(space, "alert", None, event("sos", 1.0, 2.0))?;
            w.patch(space, "alert", id, sets("note", "x"))?;
            w.get(space, "alert", id)?;
            panic!("the app's own mistake")
        })
    });
    assert!(panicked.join().is_err());
    assert_eq!(State::of(&store, &world), before);
    work(&store, &world, ours, theirs, |_| {});
    // Rows of its author are still its author's: the numbers of the lost chain were given again.
    let device = store.device().unwrap();
    let query = Query { kind: Some("alert".to_owned()), ..Query::default() };
    assert!(store.query(&query).unwrap().records.iter().all(|record| record.created_by == device));
}

#[test]
fn writes_of_tracks_alone_stay_apart_however_often_the_app_is_started() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    for n in 0..40 {
        let store = open(&world, &path);
        store.write(|w| w.add_track(world.space, chunk(n, 9, 1000, 4000))).unwrap();
    }
    let store = open(&world, &path);
    let (batches, exhausted) = store.outgoing(&[], &[], usize::MAX).unwrap();
    assert!(exhausted && batches.len() > 3, "{} batches", batches.len());
    assert_eq!(batches.iter().map(|batch| usize::from(batch.header().count)).sum::<usize>(), 40);
}

#[test]
fn a_damaged_store_is_set_aside_and_brought_back_and_goes_on() {
    let mut world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    let (store, ours, theirs) = busy(&mut world, &path);
    work(&store, &world, ours, theirs, |_| {});
    let last = put(&store, &world, "written last");
    let incarnation = store.incarnation();
    drop(store);
    let mut bytes = fs::read(&path).unwrap();
    bytes[5 * 4096..6 * 4096].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let OpenError::Damaged { kept_as } = Store::open(in_file(&world, &path)).unwrap_err() else {
        panic!("it is damaged")
    };
    let anew = StoreConfig { entropy: StoreConfig::in_memory().entropy, ..in_file(&world, &path) };
    let report = Store::recover(&kept_as, anew.clone()).unwrap();
    assert_eq!(report.failed, 0, "{report:?}");
    let store = Store::open(anew).unwrap();
    assert_ne!(store.incarnation(), incarnation, "no chain is written by two files");
    assert!(store.get(world.space, "event", last).unwrap().is_some());
    // The relay takes all of it, and gives back what it has.
    world.upload(&store);
    world.download(&store);
    let other = world.device(3, 1);
    world.download(&other);
    world.download(&store);
    assert_eq!(other.digest(world.space).unwrap(), store.digest(world.space).unwrap());
    assert_eq!(store.counts().unwrap().unsent_changes, 0);
    for id in [ours, theirs, last] {
        assert!(other.get(world.space, "event", id).unwrap().is_some());
    }
}

/// Runs in a process of its own, for the test below.
#[test]
fn opens_a_store_for_another_process() {
    let Some(path) = std::env::var_os("BARID_TEST_OPEN") else { return };
    let world = World::new();
    let opened = Store::open(in_file(&world, Path::new(&path)));
    assert!(matches!(opened, Err(OpenError::InUse)), "{opened:?}");
}

#[test]
fn a_store_that_another_process_has_open_is_in_use() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    let _store = open(&world, &path);
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::trouble::opens_a_store_for_another_process"])
        .env("BARID_TEST_OPEN", &path)
        .output()
        .unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert!(String::from_utf8_lossy(&status.stdout).contains("1 passed"));
}

#[test]
fn a_place_where_nothing_can_be_written_is_said_to_be_one() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for path in [file.join("field.db"), directory.path().join("missing").join("field.db")] {
        let error = Store::open(in_file(&world, &path)).unwrap_err();
        assert!(matches!(error, OpenError::Io { .. }), "{error:?}");
    }
    let error = Store::open(in_file(&world, directory.path())).unwrap_err();
    assert!(!matches!(error, OpenError::Damaged { .. }), "a directory is not renamed: {error:?}");
    assert!(directory.path().is_dir());
}

#[test]
fn a_file_that_may_only_be_read_is_refused_and_not_set_aside() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    drop(open(&world, &path));
    let mut permissions = fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).unwrap();
    if fs::OpenOptions::new().write(true).open(&path).is_ok() {
        return; // Nothing is read-only to root.
    }
    let error = Store::open(in_file(&world, &path)).unwrap_err();
    assert!(matches!(error, OpenError::Database { .. } | OpenError::Io { .. }), "{error:?}");
    assert!(path.exists());
}

#[test]
fn a_store_is_read_while_another_thread_writes_and_never_between_two_halves() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let store = open(&world, &directory.path().join("field.db"));
    let space = world.space;
    let (left, right) = (put(&store, &world, "left"), put(&store, &world, "right"));
    let writer = store.clone();
    let writing = std::thread::spawn(move || {
        for n in 0..60 {
            writer
                .write(|w| {
                    w.patch(space, "event", left, sets("priority", n))?;
                    w.patch(space, "event", right, sets("priority", n))
                })
                .unwrap();
        }
    });
    while !writing.is_finished() {
        let page = store.query(&Query::default()).unwrap();
        let priorities: Vec<_> = page.records.iter().map(|r| r.fields.get("priority").cloned()).collect();
        assert_eq!(priorities[0], priorities[1]);
    }
    writing.join().unwrap();
}
