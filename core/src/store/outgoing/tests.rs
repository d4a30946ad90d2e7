#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::*;
use crate::store::fixture::{BUDGET, World, chunk, event, sets};
use crate::store::{Delivery, Query, StoreConfig, WriteError};

fn put(store: &Store, space: SpaceId, kind: &str, title: &str) -> RecordId {
    store.write(|w| w.put(space, kind, None, event(title, 26.3, 13.4))).unwrap()
}

fn height(batch: &SealedBatch) -> OwnChain {
    let header = batch.header();
    let (incarnation, lane, seq) = (header.incarnation, header.lane, header.seq);
    OwnChain { incarnation, lane, seq, batch: batch.id() }
}

fn sent_up_to(batch: &SealedBatch) -> (SpaceId, Height) {
    (batch.header().space, height(batch).of(batch.header().device))
}

#[test]
fn an_sos_leaves_before_everything_that_was_recorded_before_it_and_tracks_leave_last() {
    let world = World::new();
    let store = world.stranger(1);
    store.write(|w| w.add_track(world.space, chunk(1, 2, 0, 3))).unwrap();
    for n in 0..5 {
        put(&store, world.space, "event", &n.to_string());
    }
    store.outgoing(&[], &[], BUDGET).unwrap(); // all of it is sealed now, and not acknowledged
    put(&store, world.space, "alert", "sos");
    let (batches, exhausted) = store.outgoing(&[], &[], BUDGET).unwrap();
    let lanes: Vec<_> = batches.iter().map(|batch| batch.header().lane).collect();
    assert_eq!((lanes, exhausted), (vec![Lane::Urgent, Lane::Normal, Lane::Bulk], true));
}

#[test]
fn what_was_sent_is_not_given_again_on_the_same_link_and_is_on_the_next() {
    let world = World::new();
    let store = world.stranger(1);
    put(&store, world.space, "event", "one");
    let (first, _) = store.outgoing(&[], &[], BUDGET).unwrap();
    let sent = [sent_up_to(&first[0])];
    assert_eq!(store.outgoing(&sent, &[], BUDGET).unwrap(), (Vec::new(), true));
    put(&store, world.space, "event", "two");
    let (second, _) = store.outgoing(&sent, &[], BUDGET).unwrap();
    assert_eq!(second.len(), 1);
    assert_eq!((second[0].header().seq, second[0].header().prev), (2, first[0].id()));
    assert_eq!(store.outgoing(&[], &[], BUDGET).unwrap().0, [first, second].concat());
}

#[test]
fn two_thousand_records_leave_as_few_batches_within_the_budget_and_each_once() {
    let world = World::new();
    let store = world.stranger(1);
    for n in 0..2000 {
        put(&store, world.space, "event", &n.to_string());
    }
    let mut sent: Vec<(SpaceId, Height)> = Vec::new();
    let (mut count, mut seq) = (0, 0);
    loop {
        let (batches, exhausted) = store.outgoing(&sent, &[], 40_000).unwrap();
        assert!(batches.len() == 1 || batches.iter().map(|b| b.as_bytes().len()).sum::<usize>() <= 40_000);
        for batch in &batches {
            seq += 1;
            assert_eq!(batch.header().seq, seq);
            count += usize::from(batch.header().count);
            sent = vec![sent_up_to(batch)];
        }
        if exhausted {
            break;
        }
        assert!(!batches.is_empty());
    }
    assert_eq!(count, 2000);
    assert!(seq < 20, "{seq} batches");
}

#[test]
fn one_write_is_never_split_across_batches() {
    let world = World::new();
    let store = world.stranger(1);
    let note = "x".repeat(9_000);
    for group in 0..12 {
        store
            .write(|w| {
                for n in 0..5 {
                    let id = w.put(world.space, "event", None, event(&format!("{group}.{n}"), 1.0, 2.0))?;
                    w.patch(world.space, "event", id, sets("note", note.as_str()))?;
                }
                Ok::<_, WriteError>(())
            })
            .unwrap();
    }
    let (batches, _) = store.outgoing(&[], &[], usize::MAX).unwrap();
    assert!(batches.len() > 3);
    let mut groups = 0;
    for batch in &batches {
        let body = batch.open().unwrap();
        let continues: Vec<_> = body
            .entries
            .iter()
            .map(|entry| match entry {
                BodyEntry::Present { entry: Entry::Change(change), .. } => change.continues,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(continues.last(), Some(&false), "the last entry ends its write");
        assert_eq!(continues.len() % 10, 0);
        groups += continues.iter().filter(|continues| !**continues).count();
    }
    assert_eq!(groups, 12);
}

#[test]
fn sealing_changes_no_row() {
    let world = World::new();
    let store = world.stranger(1);
    let id = put(&store, world.space, "event", "one");
    store.write(|w| w.patch(world.space, "event", id, sets("note", "two"))).unwrap();
    let before = (store.digest(world.space).unwrap(), store.get(world.space, "event", id).unwrap());
    store.outgoing(&[], &[], BUDGET).unwrap();
    assert_eq!((store.digest(world.space).unwrap(), store.get(world.space, "event", id).unwrap()), before);
    // And the record still finds its changes, where they are now.
    store.write(|w| w.patch(world.space, "event", id, sets("note", "three"))).unwrap();
    let history = store.history(world.space, "event", id).unwrap();
    let delivery: Vec<_> = history.iter().map(|entry| entry.delivery).collect();
    assert_eq!(delivery, [Delivery::Sealed, Delivery::Sealed, Delivery::Pending]);
}

#[test]
fn a_record_is_delivered_when_each_of_its_changes_is_acknowledged() {
    let world = World::new();
    let store = world.stranger(1);
    let subscription = store.subscribe();
    let delivered = |id| store.get(world.space, "event", id).unwrap().unwrap().delivered;
    let id = put(&store, world.space, "event", "one");
    assert!(!delivered(id));
    let (first, _) = store.outgoing(&[], &[], BUDGET).unwrap();
    assert!(!delivered(id), "sealed is not delivered");
    store.write(|w| w.patch(world.space, "event", id, sets("note", "two"))).unwrap();
    let (both, _) = store.outgoing(&[], &[], BUDGET).unwrap();
    store.acknowledge(&[first[0].id()]).unwrap();
    assert!(!delivered(id));
    assert_eq!(store.counts().unwrap().unsent_records, 1);
    assert_eq!(store.counts().unwrap().unsent_changes, 1);
    while subscription.try_recv().is_ok() {}
    store.acknowledge(&[both[1].id(), first[0].id(), BatchId::from_bytes([7; 32])]).unwrap();
    assert!(delivered(id));
    let Ok(crate::store::News::Changed(changed)) = subscription.try_recv() else {
        panic!("observers can show it")
    };
    assert_eq!(changed[0].id, id);
    let counts = store.counts().unwrap();
    assert_eq!((counts.unsent_records, counts.unsent_changes, counts.unsent_bytes), (0, 0, 0));
    assert_eq!(store.outgoing(&[], &[], BUDGET).unwrap(), (Vec::new(), true));
}

#[test]
fn what_is_unsent_is_counted_anew_after_every_commit() {
    let world = World::new();
    let store = world.stranger(1);
    let unsent = || (store.unsent_records().unwrap(), store.unsent_records().unwrap());
    assert_eq!(unsent(), (0, 0));
    let id = put(&store, world.space, "event", "one");
    assert_eq!(unsent(), (1, 1));
    store.write(|w| w.patch(world.space, "event", id, sets("note", "two"))).unwrap();
    assert_eq!(unsent(), (1, 1));
    put(&store, world.space, "event", "three");
    assert_eq!(unsent(), (2, 2));
    let (batches, _) = store.outgoing(&[], &[], BUDGET).unwrap();
    assert_eq!(unsent(), (2, 2));
    store.acknowledge(&batches.iter().map(SealedBatch::id).collect::<Vec<_>>()).unwrap();
    assert_eq!(unsent(), (0, 0));
}

#[test]
fn a_record_is_counted_once_whatever_of_it_is_unsent_and_a_track_not_at_all() {
    let mut world = World::new();
    let store = world.device(1, 0);
    let unsent = || (store.unsent_records().unwrap(), store.counts().unwrap().unsent_records);
    let id = put(&store, world.space, "event", "one");
    // Another kind may use the same id, which makes it another record.
    store.write(|w| w.put(world.space, "alert", Some(id), event("", 26.3, 13.4))).unwrap();
    store.write(|w| w.patch(world.space, "event", id, sets("note", "two"))).unwrap();
    store.write(|w| w.add_track(world.space, chunk(1, 1, 0, 5))).unwrap();
    assert_eq!(unsent(), (2, 2));
    store.outgoing(&[], &[], BUDGET).unwrap();
    assert_eq!(unsent(), (2, 2), "sealed");
    store.write(|w| w.patch(world.space, "event", id, sets("note", "three"))).unwrap();
    put(&store, world.space, "event", "four");
    assert_eq!(unsent(), (3, 3), "sealed and pending");
}

#[test]
fn positions_name_what_the_relay_acknowledged_and_what_comes_before_it() {
    let world = World::new();
    let store = world.stranger(1);
    let mut batches = Vec::new();
    for n in 0..3 {
        put(&store, world.space, "event", &n.to_string());
        batches = store.outgoing(&[], &[], BUDGET).unwrap().0;
    }
    let own = || store.positions().unwrap()[0].own.clone();
    assert_eq!(own(), []);
    store.acknowledge(&[batches[0].id()]).unwrap();
    assert_eq!(own(), [height(&batches[0])]);
    // The second was harmed on its way, and another brought it before the third was taken.
    store.acknowledge(&[batches[2].id()]).unwrap();
    assert_eq!(own(), [height(&batches[2])]);
    assert_eq!((store.unsent_records().unwrap(), store.counts().unwrap().unsent_changes), (0, 0));
    assert!(store.query(&Query::default()).unwrap().records.iter().all(|record| record.delivered));
}

#[test]
fn what_a_relay_lost_is_sent_again_and_a_lost_acknowledgement_is_made_up_for() {
    let world = World::new();
    let store = world.stranger(1);
    let mut ids = Vec::new();
    let mut batches = Vec::new();
    for n in 0..3 {
        ids.push(put(&store, world.space, "event", &n.to_string()));
        batches = store.outgoing(&[], &[], BUDGET).unwrap().0;
    }
    let delivered = || [0, 1, 2].map(|n| store.get(world.space, "event", ids[n]).unwrap().unwrap().delivered);
    store.relay_heights(world.space, &[height(&batches[2])]).unwrap();
    assert_eq!(delivered(), [true; 3]);
    store.relay_heights(world.space, &[height(&batches[0])]).unwrap();
    assert_eq!(delivered(), [true, false, false]);
    assert_eq!(store.outgoing(&[], &[], BUDGET).unwrap().0, batches[1..]);
    store.relay_heights(world.space, &[]).unwrap();
    assert_eq!(store.outgoing(&[], &[], BUDGET).unwrap().0, batches);
    assert_eq!(store.counts().unwrap().unsent_records, 3);
}

#[test]
fn a_file_that_was_rolled_back_finds_out() {
    let world = World::new();
    let store = world.stranger(1);
    put(&store, world.space, "event", "one");
    let (batches, _) = store.outgoing(&[], &[], BUDGET).unwrap();
    let ahead = OwnChain { seq: 2, ..height(&batches[0]) };
    let other = OwnChain { batch: BatchId::from_bytes([1; 32]), ..height(&batches[0]) };
    let unknown = OwnChain { lane: Lane::Urgent, ..height(&batches[0]) };
    for heights in [ahead, other, unknown] {
        let answer = store.relay_heights(world.space, &[heights]);
        assert!(matches!(answer, Err(StoreError::BehindRelay)), "{heights:?}");
    }
    let earlier = OwnChain { incarnation: Incarnation::from_bytes([1; 8]), ..ahead };
    assert!(store.relay_heights(world.space, &[height(&batches[0]), earlier]).is_ok());
}

/// Copies a store as a crash at this moment would leave it.
fn crash(path: &Path, to: &Path) {
    for ending in ["", "-wal"] {
        let mut from = path.as_os_str().to_owned();
        from.push(ending);
        let mut to = to.as_os_str().to_owned();
        to.push(ending);
        std::fs::copy(from, to).unwrap();
    }
}

#[test]
fn a_crash_right_after_sealing_finds_the_same_batches_and_one_before_finds_them_pending() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let config = |name: &str| StoreConfig { path: Some(directory.path().join(name)), ..world.config(1) };
    let store = Store::open(config("field.db")).unwrap();
    store.join_space(world.space).unwrap();
    let path = store.path().unwrap().clone();
    for n in 0..300 {
        put(&store, world.space, "event", &format!("{n} {}", "x".repeat(200)));
    }
    let digest = store.digest(world.space).unwrap();
    crash(&path, &directory.path().join("before.db"));
    let (batches, exhausted) = store.outgoing(&[], &[], usize::MAX).unwrap();
    assert!(batches.len() > 1 && exhausted);
    crash(&path, &directory.path().join("after.db"));

    let before = Store::open(config("before.db")).unwrap();
    let counts = before.counts().unwrap();
    assert_eq!((counts.records, counts.unsent_changes), (300, 300));
    let after = Store::open(config("after.db")).unwrap();
    assert_eq!(
        after.outgoing(&[], &[], usize::MAX).unwrap().0,
        batches,
        "the same bytes, never sealed twice"
    );
    for store in [&before, &after] {
        assert_eq!(store.digest(world.space).unwrap(), digest);
        assert_eq!(store.counts().unwrap().unsent_records, 300);
    }
    let page = after.query(&Query { limit: 1, ..Query::default() }).unwrap();
    let id = page.records[0].id;
    after.write(|w| w.patch(world.space, "event", id, sets("note", "x"))).unwrap();
}
