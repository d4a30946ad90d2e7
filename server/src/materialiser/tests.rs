//! The worker on a real log, in this process.

use std::sync::mpsc::channel;
use std::time::Duration;

use barid_core::id::SpaceId;
use barid_core::store::{Store, StoreConfig};

use super::aside::{Aside, Attempt};
use super::report::Report;
use super::worker::Worker;
use crate::fixture::{World, event};

fn digest(world: &World, space: SpaceId) -> [u8; 32] {
    let store = Store::open_read_only(StoreConfig::replica(world.data.views_db())).unwrap();
    store.digest(space).unwrap()
}

fn offset(world: &World) -> u64 {
    let store = Store::open_read_only(StoreConfig::replica(world.data.views_db())).unwrap();
    store.cursor(world.joint).unwrap().map_or(0, |cursor| cursor.offset)
}

#[test]
fn the_log_becomes_views_and_every_step_is_reported() {
    let mut world = World::new();
    let phone = world.phone(0, "one");
    let id = phone.put("event", event("people_in_distress", "بئر", 0));
    phone.track(id, &[0, 10], &[]);
    world.take(&phone);
    let reports = world.materialise();
    let changed: Vec<_> = reports
        .iter()
        .flat_map(|report| &report.changed)
        .map(|item| (item.kind.as_str(), item.id.clone()))
        .collect();
    assert!(changed.contains(&("event", id.to_string())), "{changed:?}");
    assert!(changed.contains(&("track", id.to_string())), "{changed:?}");
    assert!(changed.contains(&("device", phone.device.to_string())), "{changed:?}");
    assert!(changed.contains(&("organisation", world.organisations[0].to_string())), "{changed:?}");
    let head = world.log.state().spaces[&world.joint].head;
    let joint = world.joint.to_string();
    assert_eq!(reports.iter().rfind(|report| report.space == joint).map(|report| report.offset), Some(head));
    assert_eq!(digest(&world, world.joint), phone.store.digest(world.joint).unwrap());
    assert!(world.materialise().is_empty(), "nothing is repeated");
}

#[cfg(unix)]
#[test]
fn the_views_are_readable_by_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    world.materialise();
    for entry in std::fs::read_dir(world.root()).unwrap().map(Result::unwrap) {
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
    }
}

#[test]
fn views_that_are_removed_come_back_the_same() {
    let mut world = World::new();
    let (one, two) = (world.phone(0, "one"), world.phone(1, "two"));
    let id = one.put("event", event("other", "first", 0));
    world.take(&one);
    world.give(&two);
    world.materialise();
    two.patch("event", id, "title", "second");
    one.patch("event", id, "title", "third");
    world.take(&two);
    world.take(&one);
    world.materialise();
    let before = digest(&world, world.joint);
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", world.data.views_db().display()));
    }
    world.materialise();
    assert_eq!(digest(&world, world.joint), before);
    world.give(&one);
    assert_eq!(one.store.digest(world.joint).unwrap(), before);
}

#[test]
fn views_that_are_damaged_or_of_another_log_are_built_anew() {
    let mut world = World::new();
    let phone = world.phone(0, "one");
    phone.put("event", event("other", "first", 0));
    world.take(&phone);
    world.materialise();
    let before = digest(&world, world.joint);
    std::fs::write(world.data.views_db(), b"this is no database").unwrap();
    world.materialise();
    assert_eq!(digest(&world, world.joint), before);

    let mut other = World::new();
    let stranger = other.phone(0, "stranger");
    stranger.put("event", event("other", "elsewhere", 0));
    other.take(&stranger);
    other.materialise();
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", world.data.views_db().display()));
    }
    std::fs::copy(other.data.views_db(), world.data.views_db()).unwrap();
    world.materialise();
    assert_eq!(digest(&world, world.joint), before);
}

/// The supervisor's part, when the worker died in this attempt.
fn die(world: &World, first: u64, last: u64) {
    let mut aside = Aside::open(&world.data.aside_db(), "test").unwrap();
    aside.begin(Attempt { space: world.joint, first, last }).unwrap();
    aside.count_death().unwrap();
}

#[test]
fn a_batch_that_killed_the_worker_twice_is_passed_over_and_the_next_version_takes_it() {
    let mut world = World::new();
    let phone = world.phone(0, "one");
    let before = world.log.state().spaces[&world.joint].head;
    let ids: Vec<_> = (0..4)
        .map(|minute| {
            let id = phone.put("event", event("other", "one of four", minute));
            assert_eq!(world.take(&phone), 1);
            id
        })
        .collect();
    let poison = before + 2;
    die(&world, 1, before + 4);
    die(&world, poison, poison);
    die(&world, poison, poison);
    world.materialise();
    assert_eq!(offset(&world), before + 4, "the cursor is past it");
    let views = Store::open_read_only(StoreConfig::replica(world.data.views_db())).unwrap();
    let held: Vec<bool> =
        ids.iter().map(|id| views.get(world.joint, "event", *id).unwrap().is_some()).collect();
    assert_eq!(held, [true, false, true, true]);
    assert_eq!(Aside::count(&world.data.aside_db()).unwrap(), 1);

    let (end, news) = channel();
    drop(end);
    let mut reports = Vec::new();
    let mut next = Worker::open(&world.data, "next", Duration::from_secs(60)).unwrap();
    next.run(&news, &mut reports).unwrap();
    assert!(views.get(world.joint, "event", ids[1]).unwrap().is_some());
    assert_eq!(Aside::count(&world.data.aside_db()).unwrap(), 0);
    let report: Report = serde_json::from_slice(&reports).unwrap();
    assert_eq!(report.changed.len(), 1);
    drop(next);
    assert_eq!(digest(&world, world.joint), phone.store.digest(world.joint).unwrap());
}
