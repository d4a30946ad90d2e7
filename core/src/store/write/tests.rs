#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::limits::CHANGE_LEN_MAX;
use crate::store::fixture::{World, chunk, event, sets};
use crate::store::{Query, StoreConfig};

fn put(store: &Store, space: SpaceId, title: &str) -> RecordId {
    store.write(|w| w.put(space, "event", None, event(title, 26.3, 13.4))).unwrap()
}

#[test]
fn what_is_put_is_there_with_its_columns() {
    let world = World::new();
    let store = world.stranger(1);
    let mut fields = event("قافلة", 26.3, 13.4);
    fields.insert("time".to_owned(), 5_000i64.into());
    fields.insert("unknown_field".to_owned(), Value::List(vec![Value::Null, true.into()]));
    let id = store.write(|w| w.put(world.space, "event", None, fields.clone())).unwrap();
    let record = store.get(world.space, "event", id).unwrap().unwrap();
    assert_eq!(record.fields, fields);
    assert_eq!(record.time, Timestamp::from_millis(5_000));
    assert_eq!(record.place, Some((26.3, 13.4)));
    assert_eq!(record.state.as_deref(), Some("new"));
    assert_eq!(record.created_by, store.device().unwrap());
    assert_eq!((record.withdrawn, record.conflicts, record.delivered), (false, 0, false));
    assert_eq!(store.get(world.space, "patrol", id).unwrap(), None);
    assert_eq!(store.get(SpaceId::from_bytes([1; 32]), "event", id).unwrap(), None);
}

#[test]
fn a_patch_sets_and_removes_and_keeps_the_rest() {
    let world = World::new();
    let store = world.stranger(1);
    let id = put(&store, world.space, "قافلة");
    let mut puts = sets("note", "ماء");
    puts.insert("persons_total".to_owned(), None);
    puts.insert("lat".to_owned(), Some(27.0.into())); // a captured field
    store.write(|w| w.patch(world.space, "event", id, puts)).unwrap();
    let record = store.get(world.space, "event", id).unwrap().unwrap();
    assert_eq!(record.fields.get("note"), Some(&"ماء".into()));
    assert_eq!(record.fields.get("persons_total"), None);
    assert_eq!(record.fields.get("title"), Some(&"قافلة".into()));
    assert_eq!(record.place, Some((27.0, 13.4)));
    assert!(record.updated_at > record.created_at);
    let found = |text: &str| {
        store.query(&Query { text: Some(text.to_owned()), ..Query::default() }).unwrap().records.len()
    };
    assert_eq!((found("الماء"), found("قافله"), found("خيمة")), (1, 1, 0));
}

#[test]
fn a_put_on_a_record_that_is_there_sets_its_fields() {
    let world = World::new();
    let store = world.stranger(1);
    let id = put(&store, world.space, "one");
    let again = Fields::from([("title".to_owned(), "two".into())]);
    store.write(|w| w.put(world.space, "event", Some(id), again)).unwrap();
    let record = store.get(world.space, "event", id).unwrap().unwrap();
    assert_eq!(record.fields.get("title"), Some(&"two".into()));
    assert_eq!(record.fields.get("persons_total"), Some(&7i64.into()));
}

#[test]
fn a_withdrawn_record_is_hidden_until_it_is_restored() {
    let world = World::new();
    let store = world.stranger(1);
    let id = put(&store, world.space, "one");
    let visible = || store.query(&Query::default()).unwrap().records.len();
    store.write(|w| w.withdraw(world.space, "event", id)).unwrap();
    assert_eq!(visible(), 0);
    assert!(store.get(world.space, "event", id).unwrap().unwrap().withdrawn);
    let all = Query { include_withdrawn: true, ..Query::default() };
    assert_eq!(store.query(&all).unwrap().records.len(), 1);
    store.write(|w| w.restore(world.space, "event", id)).unwrap();
    assert_eq!(visible(), 1);
}

#[test]
fn a_write_that_fails_leaves_nothing_behind() {
    let world = World::new();
    let store = world.stranger(1);
    let before = store.digest(world.space).unwrap();
    let id = RecordId::from_bytes([7; 16]);
    let failed = store.write(|w| {
        w.put(world.space, "event", Some(id), event("one", 1.0, 2.0))?;
        w.patch(world.space, "event", RecordId::from_bytes([8; 16]), sets("note", "x"))
    });
    assert!(matches!(failed, Err(WriteError::NotFound(_))));
    assert_eq!(store.digest(world.space).unwrap(), before);
    assert_eq!(store.counts().unwrap(), Default::default());
    // The numbers of what was rolled back are given again, and nothing remembers them.
    put(&store, world.space, "two");
    assert_eq!(store.query(&Query::default()).unwrap().records[0].fields["title"], "two".into());
}

#[test]
fn a_write_sees_what_it_did() {
    let world = World::new();
    let store = world.stranger(1);
    store
        .write(|w| {
            let id = w.put(world.space, "event", None, event("one", 1.0, 2.0))?;
            w.patch(world.space, "event", id, sets("title", "two"))?;
            w.patch(world.space, "event", id, sets("title", "three"))?;
            let record = w.get(world.space, "event", id)?.unwrap();
            assert_eq!(record.fields["title"], "three".into());
            Ok(())
        })
        .unwrap();
    assert_eq!(store.counts().unwrap().unsent_changes, 3);
    assert_eq!(store.counts().unwrap().unsent_records, 1);
}

#[test]
fn what_cannot_be_recorded_is_refused_at_once() {
    let world = World::new();
    let store = world.stranger(1);
    let id = put(&store, world.space, "one");
    let space = world.space;
    let put = |kind: &str, name: &str, value: Value| {
        let fields = Fields::from([(name.to_owned(), value)]);
        store.write(|w| w.put(space, kind, None, fields)).map(drop)
    };
    assert!(matches!(put("", "a", Value::Null), Err(WriteError::Kind)));
    assert!(matches!(put(TRACK, "a", Value::Null), Err(WriteError::Kind)));
    assert!(matches!(put(&"k".repeat(65), "a", Value::Null), Err(WriteError::Kind)));
    assert!(matches!(put("event", "@", Value::Null), Err(WriteError::Fields(_))));
    assert!(matches!(put("event", WITHDRAWN_KEY, true.into()), Err(WriteError::Fields(_))));
    assert!(matches!(put("event", "a", f64::NAN.into()), Err(WriteError::Fields(_))));
    assert!(matches!(put("event", "a", "x".repeat(CHANGE_LEN_MAX).into()), Err(WriteError::Fields(_))));
    let flag = sets(WITHDRAWN_KEY, true);
    assert!(matches!(store.write(|w| w.patch(space, "event", id, flag)), Err(WriteError::Fields(_))));
    let elsewhere = SpaceId::from_bytes([1; 32]);
    assert!(matches!(
        store.write(|w| w.put(elsewhere, "event", None, Fields::new())),
        Err(WriteError::UnknownSpace(_))
    ));
    let mut unordered = chunk(1, 1, 0, 3);
    unordered.positions.swap(0, 2);
    assert!(matches!(store.write(|w| w.add_track(space, unordered)), Err(WriteError::Track(_))));
    let replica = Store::open(StoreConfig::in_memory()).unwrap();
    assert!(matches!(replica.write(|_| Ok(())), Err(WriteError::NoIdentity)));
    assert_eq!(store.counts().unwrap().records, 1);
}

#[test]
fn one_write_is_no_more_than_a_batch_can_carry() {
    let world = World::new();
    let store = world.stranger(1);
    let many = |n: usize| {
        store.write(|w| {
            (0..n).try_for_each(|_| w.put(world.space, "event", None, event("x", 1.0, 2.0)).map(drop))
        })
    };
    assert!(matches!(many(BATCH_ENTRIES_MAX + 1), Err(WriteError::TooMuch)));
    assert!(many(BATCH_ENTRIES_MAX).is_ok());
    let long = Fields::from([("note".to_owned(), "x".repeat(60_000).into())]);
    let large = |n: usize| {
        store.write(|w| (0..n).try_for_each(|_| w.put(world.space, "event", None, long.clone()).map(drop)))
    };
    assert!(matches!(large(5), Err(WriteError::TooMuch)));
    assert!(large(4).is_ok());
}

#[test]
fn a_kind_that_nobody_declared_is_kept_and_found_by_all_its_text() {
    let world = World::new();
    let store = world.stranger(1);
    let fields = Fields::from([("anything".to_owned(), "بئر مهجورة".into()), ("n".to_owned(), 1i64.into())]);
    let id = store.write(|w| w.put(world.space, "well", None, fields.clone())).unwrap();
    let query = Query { text: Some("البئر".to_owned()), ..Query::default() };
    let found = store.query(&query).unwrap().records;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, &found[0].fields, found[0].place), (id, &fields, None));
    assert_eq!(found[0].time, found[0].created_at);
}

#[test]
fn tracks_are_found_by_patrol_and_the_latest_position_by_device() {
    let world = World::new();
    let store = world.stranger(1);
    let space = world.space;
    for chunk in [chunk(2, 9, 100, 5), chunk(1, 9, 0, 5), chunk(3, 8, 50, 5)] {
        store.write(|w| w.add_track(space, chunk)).unwrap();
    }
    // Adding one again changes nothing.
    store.write(|w| w.add_track(space, chunk(2, 9, 100, 5))).unwrap();
    let tracks = store.tracks(space, RecordId::from_bytes([9; 16])).unwrap();
    assert_eq!(tracks.iter().map(|t| t.chunk.id.as_bytes()[0]).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(tracks[0].chunk, chunk(1, 9, 0, 5));
    let latest = store.latest_positions(space).unwrap();
    assert_eq!(latest.len(), 1);
    assert_eq!(latest[0].device, store.device().unwrap());
    assert_eq!(latest[0].position, chunk(2, 9, 100, 5).positions[4]);
    assert_eq!(store.counts().unwrap().unsent_changes, 3);
}

#[test]
fn observers_hear_of_a_write_after_it_is_committed_and_of_nothing_that_failed() {
    let world = World::new();
    let store = world.stranger(1);
    let subscription = store.subscribe();
    let id = store
        .write(|w| {
            let id = w.put(world.space, "event", None, event("one", 1.0, 2.0))?;
            w.patch(world.space, "event", id, sets("title", "two"))?;
            w.add_track(world.space, chunk(1, 2, 0, 1))?;
            Ok(id)
        })
        .unwrap();
    let Ok(crate::store::News::Changed(changed)) = subscription.try_recv() else { panic!("they hear of it") };
    let heard: Vec<_> = changed.iter().map(|changed| (changed.kind.as_str(), changed.id)).collect();
    assert_eq!(heard, [("event", id), (TRACK, RecordId::from_bytes([2; 16]))]);
    store.write(|w| w.withdraw(world.space, "event", RecordId::from_bytes([0; 16]))).unwrap_err();
    store.write(|w| w.patch(world.space, "event", id, sets("title", "two"))).unwrap();
    assert!(subscription.try_recv().is_err(), "a patch that changes nothing is no news");
}

#[test]
fn a_store_in_a_file_keeps_what_was_written() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig { path: Some(directory.path().join("field.db")), ..world.config(1) };
    let (id, incarnation, digest) = {
        let store = Store::open(config.clone()).unwrap();
        store.join_space(world.space).unwrap();
        let id = put(&store, world.space, "one");
        store.write(|w| w.patch(world.space, "event", id, sets("note", "two"))).unwrap();
        (id, store.incarnation(), store.digest(world.space).unwrap())
    };
    let store = Store::open(config.clone()).unwrap();
    assert_eq!(store.incarnation(), incarnation);
    assert_eq!(store.digest(world.space).unwrap(), digest);
    store.write(|w| w.patch(world.space, "event", id, sets("note", "three"))).unwrap();
    assert_eq!(store.default_space().unwrap(), Some(world.space));

    // Beside it, another process reads what this one writes.
    let beside = Store::open_read_only(config).unwrap();
    assert_eq!(beside.get(world.space, "event", id).unwrap().unwrap().fields["note"], "three".into());
    put(&store, world.space, "four");
    assert_eq!(beside.counts().unwrap().records, 2);
    assert!(matches!(beside.write(|_| Ok(())), Err(WriteError::Store(StoreError::ReadOnly))));
}
