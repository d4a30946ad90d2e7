#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::batch::{BatchKind, ChangeEntry, Entry, SealSpec, seal};
use crate::clock::Timestamp;
use crate::control::admit_device;
use crate::document::{NewChange, Op, create, encode, scan};
use crate::id::{ActorId, ChainId, Incarnation, RecordId};
use crate::identity::Identity;
use crate::model::{Fields, Kind};
use crate::store::fixture::{BUDGET, World, chunk, event, sets};
use crate::store::{Query, StoreConfig, TRACK};

fn put(store: &Store, space: SpaceId, title: &str) -> RecordId {
    store.write(|w| w.put(space, "event", None, event(title, 26.3, 13.4))).unwrap()
}

/// Somebody who seals batches by hand.
struct Forger {
    key: Identity,
    space: SpaceId,
    seq: u64,
    prev: BatchId,
}

impl Forger {
    fn new(world: &mut World) -> Self {
        let key = Identity::from_seed([77; 32]);
        world.admit(key.device(), 0);
        Self { key, space: world.space, seq: 0, prev: BatchId::from_bytes([0; 32]) }
    }

    fn actor(&self) -> ActorId {
        ChainId::derive(
            self.key.device(),
            Incarnation::from_bytes([7; 8]),
            self.space,
            crate::batch::Lane::Normal,
        )
        .actor()
    }

    fn seal(&mut self, entries: &[Entry]) -> SealedBatch {
        self.seq += 1;
        let spec = SealSpec {
            key: &self.key,
            incarnation: Incarnation::from_bytes([7; 8]),
            space: self.space,
            lane: crate::batch::Lane::Normal,
            seq: self.seq,
            prev: self.prev,
            control_head: BatchId::from_bytes([0; 32]),
            kind: BatchKind::Entries,
            claimed_time: Timestamp::from_millis(1),
            seed: [self.seq as u8; 16],
        };
        let batch = seal(spec, entries).unwrap();
        self.prev = batch.id();
        batch
    }

    fn created(&self, actor: ActorId, title: &str) -> Vec<u8> {
        let fields = Fields::from([("title".to_owned(), title.into())]);
        create(actor, Timestamp::from_millis(1), &Kind::undeclared("event"), &fields).unwrap()
    }
}

fn entry(record: u8, kind: &str, change: Vec<u8>) -> Entry {
    let record = RecordId::from_bytes([record; 16]);
    Entry::Change(ChangeEntry { record, kind: kind.to_owned(), continues: false, change })
}

#[test]
fn what_one_device_recorded_is_on_the_other_and_delivered() {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    let subscription = two.subscribe();
    let id = put(&one, world.space, "قافلة");
    one.write(|w| w.patch(world.space, "event", id, sets("note", "ماء"))).unwrap();
    one.write(|w| w.add_track(world.space, chunk(3, 4, 0, 10))).unwrap();
    world.upload(&one);
    let report = world.download(&two);
    assert_eq!((report.waiting, report.refused, report.membership_changed), (0, 0, true));
    assert_eq!(report.changed.len(), 2);
    assert_eq!(report.cursor, Some(world.cursor_at(world.log.len() as u64)));
    assert_eq!(subscription.try_recv(), Ok(crate::store::News::Changed(report.changed.into())));
    world.download(&one);
    let record = two.get(world.space, "event", id).unwrap().unwrap();
    assert_eq!(record.fields["note"], "ماء".into());
    assert_eq!((record.created_by, record.delivered), (one.device().unwrap(), true));
    assert_eq!(record.organisation, Some(world.organisations[0]));
    assert_eq!(one.get(world.space, "event", id).unwrap().unwrap().organisation, record.organisation);
    assert_eq!(one.digest(world.space).unwrap(), two.digest(world.space).unwrap());
    assert_eq!(two.tracks(world.space, RecordId::from_bytes([4; 16])).unwrap()[0].chunk, chunk(3, 4, 0, 10));
    assert_eq!(two.latest_positions(world.space).unwrap()[0].organisation, Some(world.organisations[0]));
}

#[test]
fn edits_of_different_fields_are_both_kept_and_of_the_same_are_a_conflict_until_settled() {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    let space = world.space;
    let id = put(&one, space, "a");
    world.upload(&one);
    world.download(&one);
    world.download(&two);
    one.write(|w| w.patch(space, "event", id, sets("note", "one"))).unwrap();
    one.write(|w| w.patch(space, "event", id, sets("title", "from one"))).unwrap();
    two.write(|w| w.patch(space, "event", id, sets("priority", 200i64))).unwrap();
    two.write(|w| w.patch(space, "event", id, sets("title", "from two"))).unwrap();
    for device in [&one, &two] {
        world.upload(device);
    }
    for device in [&one, &two] {
        world.download(device);
        let record = device.get(space, "event", id).unwrap().unwrap();
        assert_eq!((&record.fields["note"], &record.fields["priority"]), (&"one".into(), &200i64.into()));
        assert_eq!(record.conflicts, 1);
        let query = Query { conflicts_only: true, ..Query::default() };
        assert_eq!(device.query(&query).unwrap().records.len(), 1);
        let conflicts = device.conflicts(space, "event", id).unwrap();
        assert_eq!(conflicts[0].field, "title");
        assert_eq!(conflicts[0].values[0].value.as_ref(), record.fields.get("title"));
        let mut who: Vec<_> = conflicts[0].values.iter().map(|value| value.device).collect();
        who.sort_unstable();
        let mut devices = [one.device().unwrap(), two.device().unwrap()];
        devices.sort_unstable();
        assert_eq!(who, devices);
        assert!(conflicts[0].values.iter().all(|value| value.organisation.is_some()));
    }
    let shown = two.get(space, "event", id).unwrap().unwrap().fields["title"].clone();
    two.write(|w| w.patch(space, "event", id, sets("title", shown))).unwrap();
    world.upload(&two);
    world.download(&one);
    for device in [&one, &two] {
        assert_eq!(device.get(space, "event", id).unwrap().unwrap().conflicts, 0);
        assert_eq!(device.conflicts(space, "event", id).unwrap(), []);
    }
    assert_eq!(one.digest(space).unwrap(), two.digest(space).unwrap());
}

#[test]
fn a_withdrawal_beside_an_edit_hides_nothing() {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    let space = world.space;
    let id = put(&one, space, "a");
    world.upload(&one);
    world.download(&two);
    world.download(&one);
    one.write(|w| w.withdraw(space, "event", id)).unwrap();
    two.write(|w| w.patch(space, "event", id, sets("note", "still here"))).unwrap();
    world.upload(&one);
    world.upload(&two);
    for device in [&one, &two] {
        world.download(device);
        let record = device.get(space, "event", id).unwrap().unwrap();
        assert_eq!((record.withdrawn, record.conflicts), (false, 1));
    }
}

#[test]
fn what_comes_again_changes_nothing() {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    put(&one, world.space, "a");
    world.upload(&one);
    world.download(&two);
    let before = (two.digest(world.space).unwrap(), two.counts().unwrap());
    two.reset_cursor(world.space).unwrap();
    assert_eq!(two.cursor(world.space).unwrap(), None);
    let report = world.download(&two);
    assert_eq!((report.taken, report.held), (0, world.log.len() as u32));
    assert_eq!(report.changed, []);
    assert_eq!((two.digest(world.space).unwrap(), two.counts().unwrap()), before);
}

#[test]
fn a_batch_of_an_unknown_author_waits_until_the_control_records_come() {
    let mut world = World::new();
    let late = world.stranger(1);
    let id = put(&late, world.space, "a");
    late.write(|w| w.patch(world.space, "event", id, sets("note", "b"))).unwrap();
    world.upload(&late);
    let replica = world.replica();
    let report = world.download(&replica);
    assert_eq!((report.waiting, report.changed.len()), (1, 0));
    assert_eq!(replica.counts().unwrap().waiting, 1);
    assert_eq!(replica.get(world.space, "event", id).unwrap(), None);
    world.admit(late.device().unwrap(), 1);
    let report = world.download(&replica);
    assert_eq!(report.changed.len(), 1);
    assert_eq!(replica.counts().unwrap().waiting, 0);
    let record = replica.get(world.space, "event", id).unwrap().unwrap();
    assert_eq!(record.fields["note"], "b".into());
    assert_eq!(record.organisation, Some(world.organisations[1]));
}

#[test]
fn a_device_moved_to_another_organisation_takes_its_records_along() {
    let mut world = World::new();
    let one = world.device(1, 0);
    let id = put(&one, world.space, "a");
    world.upload(&one);
    world.download(&one);
    let space = world.space;
    let organisation = || one.get(space, "event", id).unwrap().unwrap().organisation;
    assert_eq!(organisation(), Some(world.organisations[0]));
    let to = world.organisations[1];
    world.control(&[admit_device(one.device().unwrap(), 2, to, "phone", "patrol").unwrap()]);
    world.download(&one);
    assert_eq!(organisation(), Some(to));
}

#[test]
fn an_entry_whose_ancestors_are_missing_waits_for_them() {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    let space = world.space;
    let id = put(&one, space, "a");
    world.upload(&one);
    world.download(&two);
    two.write(|w| w.patch(space, "event", id, sets("note", "b"))).unwrap();
    two.write(|w| w.patch(space, "event", id, sets("note", "c"))).unwrap();
    world.upload(&two);
    let replica = world.replica();
    let mut log = world.log.clone();
    // The last two batches the other way round: the edits come before what they edit.
    let (edited, created) = (log.pop().unwrap(), log.pop().unwrap());
    log.push(edited);
    replica.ingest(space, &log, None).unwrap();
    assert_eq!(replica.counts().unwrap().waiting, 2);
    assert_eq!(replica.get(space, "event", id).unwrap(), None);
    replica.ingest(space, &[created], None).unwrap();
    assert_eq!(replica.counts().unwrap().waiting, 0);
    assert_eq!(replica.get(space, "event", id).unwrap().unwrap().fields["note"], "c".into());
    assert_eq!(replica.digest(space).unwrap(), {
        world.download(&two);
        two.digest(space).unwrap()
    });
}

#[test]
fn a_bad_entry_is_refused_alone_and_the_reason_kept() {
    let mut world = World::new();
    let mut forger = Forger::new(&mut world);
    let actor = forger.actor();
    let first = forger.created(actor, "first");
    let other_actor = ActorId::from_bytes([9; 16]);
    let put_under = |seq, start_op, deps: Vec<crate::id::ChangeHash>| {
        let ops = vec![Op { key: "a".to_owned(), value: Some(1i64.into()), predecessors: Vec::new() }];
        let time = Timestamp::from_millis(1);
        encode(&NewChange { actor, seq, start_op, time, deps, ops }).unwrap()
    };
    let first_hash = scan(&first).unwrap().hash;
    let batch = forger.seal(&[
        entry(1, "event", first.clone()),
        entry(2, "event", b"no change at all".to_vec()),
        entry(3, "event", forger.created(other_actor, "not mine")),
        entry(1, "event", forger.created(actor, "another first")),
        entry(1, "event", put_under(2, 999, vec![first_hash])),
        entry(4, TRACK, forger.created(actor, "kind")),
        Entry::Unknown { tag: 200, bytes: vec![1, 2, 3] },
        entry(5, "event", forger.created(actor, "last")),
    ]);
    world.append(batch);
    let replica = world.replica();
    let report = world.download(&replica);
    assert_eq!((report.refused, report.changed.len()), (0, 2));
    let titles: Vec<_> =
        replica.query(&Query::default()).unwrap().records.iter().map(|r| r.fields["title"].clone()).collect();
    assert_eq!(titles, ["first".into(), "last".into()]);
    let codes: Vec<(u32, u8)> = replica
        .inner
        .read(|connection| {
            let mut statement = connection.prepare(
                "SELECT entry, code FROM refused_entry
                UNION SELECT entry, state - 10 FROM held_entry WHERE state >= 10 ORDER BY entry",
            )?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok::<_, StoreError>(rows.collect::<Result<_, _>>()?)
        })
        .unwrap();
    let expected = [
        (1, EntryRefusal::Malformed),
        (2, EntryRefusal::WrongAuthor),
        (3, EntryRefusal::SequenceReused),
        (4, EntryRefusal::ContradictsAncestors),
        (5, EntryRefusal::ReservedKind),
    ];
    assert_eq!(codes, expected.map(|(entry, refusal)| (entry, refusal as u8)));
    assert_eq!(replica.counts().unwrap().refused, 5);
}

#[test]
fn a_wrong_signature_is_refused_with_everything_built_on_it_and_holds_up_nobody_else() {
    let mut world = World::new();
    let one = world.device(1, 0);
    let mut forger = Forger::new(&mut world);
    let genuine = forger.seal(&[entry(1, "event", forger.created(forger.actor(), "a"))]);
    let header_len = usize::from(u16::from_be_bytes([genuine.as_bytes()[0], genuine.as_bytes()[1]]));
    let mut bytes = genuine.as_bytes().to_vec();
    bytes[2 + header_len + 3] ^= 1;
    world.append(SealedBatch::parse(bytes).unwrap());
    let next = forger.seal(&[entry(2, "event", forger.created(forger.actor(), "b"))]);
    world.append(next);
    put(&one, world.space, "good");
    world.upload(&one);
    let two = world.device(2, 0);
    let report = world.download(&two);
    assert_eq!((report.refused, report.changed.len()), (2, 1));
    assert_eq!(report.cursor, Some(world.cursor_at(world.log.len() as u64)));
    assert_eq!(two.counts().unwrap().refused, 2);
    let again = two.ingest(world.space, &world.log, None).unwrap();
    assert_eq!(again.held as usize, world.log.len());
}

#[test]
fn a_body_that_is_not_what_was_signed_is_refused() {
    let mut world = World::new();
    let mut forger = Forger::new(&mut world);
    let batch = forger.seal(&[entry(1, "event", forger.created(forger.actor(), "a"))]);
    let mut bytes = batch.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    world.append(SealedBatch::parse(bytes).unwrap());
    let replica = world.replica();
    let report = world.download(&replica);
    assert_eq!((report.refused, report.changed.len()), (1, 0));
}

#[test]
fn a_gap_or_a_wrong_predecessor_stops_the_ingest_and_the_cursor_never_skips() {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    for title in ["a", "b", "c"] {
        put(&one, world.space, title);
        world.upload(&one);
    }
    let log = world.log.clone();
    let end = log.len() as u64;
    // The middle one of the chain is missing.
    let gapped: Vec<_> = log.iter().filter(|(offset, _)| *offset != end - 1).cloned().collect();
    let error = two.ingest(world.space, &gapped, Some(world.cursor_at(end))).unwrap_err();
    let IngestError::Stopped { stopped, report, .. } = &error else { panic!("{error:?}") };
    assert_eq!(
        *stopped,
        Stopped {
            offset: end,
            batch: log[end as usize - 1].1.id(),
            by: StoppedBy::Gap { held: 1, found: 3 }
        }
    );
    assert_eq!(report.changed.len(), 1, "what came before is kept");
    assert_eq!(two.cursor(world.space).unwrap(), None);
    two.ingest(world.space, &[], Some(world.cursor_at(end - 2))).unwrap();
    assert!(two.ingest(world.space, &log[end as usize - 1..], Some(world.cursor_at(end))).is_err());
    assert_eq!(two.cursor(world.space).unwrap(), Some(world.cursor_at(end - 2)));
    two.ingest(world.space, &log[end as usize - 2..], Some(world.cursor_at(end))).unwrap();
    assert_eq!(two.query(&Query::default()).unwrap().records.len(), 3);

    let mut forger = Forger::new(&mut world);
    let first = forger.seal(&[entry(1, "event", forger.created(forger.actor(), "a"))]);
    forger.prev = BatchId::from_bytes([1; 32]);
    let second = forger.seal(&[entry(2, "event", forger.created(forger.actor(), "b"))]);
    world.append(first);
    world.append(second);
    let error = world.try_download(&two).unwrap_err();
    assert!(
        matches!(&error, IngestError::Stopped { source: StoppedBy::WrongPrevious { held: 1 }, .. }),
        "{error:?}"
    );
    assert_eq!(two.cursor(world.space).unwrap(), Some(world.cursor_at(end)));
}

#[test]
fn a_replica_goes_on_past_a_batch_that_was_set_aside_and_takes_it_later() {
    let mut world = World::new();
    let one = world.device(1, 0);
    let id = put(&one, world.space, "a");
    for note in ["b", "c", "d"] {
        world.upload(&one);
        one.write(|w| w.patch(world.space, "event", id, sets("note", note))).unwrap();
    }
    world.upload(&one);
    let replica = world.replica();
    let (aside, rest): (Vec<_>, Vec<_>) =
        world.log.clone().into_iter().partition(|(offset, _)| *offset == world.log.len() as u64 - 2);
    replica.ingest(world.space, &rest, None).unwrap();
    assert_eq!(replica.counts().unwrap().waiting, 2);
    replica.ingest(world.space, &aside, None).unwrap();
    world.download(&one);
    assert_eq!(replica.digest(world.space).unwrap(), one.digest(world.space).unwrap());
}

#[test]
fn of_two_batches_at_one_place_of_a_chain_the_smaller_stands_and_the_other_is_kept() {
    let mut world = World::new();
    let mut forger = Forger::new(&mut world);
    let first = forger.seal(&[entry(1, "event", forger.created(forger.actor(), "a"))]);
    (forger.seq, forger.prev) = (0, BatchId::from_bytes([0; 32]));
    let fork = forger.seal(&[entry(2, "event", forger.created(forger.actor(), "b"))]);
    let (standing, other) = if first.id() < fork.id() { ("a", fork.id()) } else { ("b", first.id()) };
    for batches in [[&first, &fork], [&fork, &first]] {
        let mut world = world.copy();
        for batch in batches {
            world.append(batch.clone());
        }
        let two = world.stranger(2);
        let report = world.download(&two);
        assert_eq!((report.refused, report.waiting), (0, 0));
        let held = two.quarantined(world.space).unwrap();
        assert_eq!(held.iter().map(|held| held.batch).collect::<Vec<_>>(), [other]);
        assert_eq!(two.counts().unwrap().quarantined, 1);
        let records = two.query(&Query::default()).unwrap().records;
        assert_eq!(records.iter().map(|r| r.fields["title"].clone()).collect::<Vec<_>>(), [standing.into()]);
    }
}

#[test]
fn batches_of_another_space_or_of_this_very_file_stop_the_ingest() {
    let mut world = World::new();
    let one = world.device(1, 0);
    put(&one, world.space, "a");
    world.upload(&one);
    let elsewhere = SpaceId::from_bytes([1; 32]);
    assert!(matches!(
        one.ingest(elsewhere, &world.log, None),
        Err(IngestError::UnknownSpace(space)) if space == elsewhere
    ));
    one.join_space(elsewhere).unwrap();
    let error = one.ingest(elsewhere, &world.log, None).unwrap_err();
    assert!(matches!(error, IngestError::Stopped { source: StoppedBy::OtherSpace, .. }));
    // The same key and randomness make the same incarnation: a copy of the file from before.
    let copy = world.stranger(1);
    assert_eq!(copy.incarnation(), one.incarnation());
    let error = copy.ingest(world.space, &world.log, None).unwrap_err();
    assert!(matches!(error, IngestError::Stopped { source: StoppedBy::RolledBack, .. }));
}

#[test]
fn own_batches_that_the_log_brings_are_thereby_acknowledged() {
    let mut world = World::new();
    let one = world.device(1, 0);
    let id = put(&one, world.space, "a");
    for batch in one.outgoing(&[], &[], BUDGET).unwrap().0 {
        world.append(batch);
    }
    one.ingest(world.space, &world.log, None).unwrap();
    assert!(one.get(world.space, "event", id).unwrap().unwrap().delivered);
    assert_eq!(one.history(world.space, "event", id).unwrap()[0].offset, Some(world.log.len() as u64));
    assert_eq!(one.counts().unwrap().unsent_changes, 0);
}

#[test]
fn a_batch_of_a_newer_version_is_kept_unread_and_the_cursor_passes() {
    let mut world = World::new();
    let one = world.device(1, 0);
    put(&one, world.space, "a");
    world.upload(&one);
    let (offset, batch) = world.log.last().unwrap().clone();
    let mut newer = batch.as_bytes().to_vec();
    newer[2] = 9; // the version
    assert!(SealedBatch::parse(newer.clone()).unwrap_err().keeps_unread());
    let cursor = world.cursor_at(offset);
    let replica = world.replica();
    replica.keep_unread(world.space, offset, &newer, Some(cursor)).unwrap();
    replica.keep_unread(world.space, offset, &newer, Some(cursor)).unwrap();
    assert_eq!(replica.counts().unwrap().unread, 1);
    assert_eq!(replica.cursor(world.space).unwrap(), Some(cursor));
}

#[test]
fn what_follows_an_unread_batch_in_its_chain_is_taken_in() {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    let first = put(&one, world.space, "a");
    world.upload(&one);
    let unread = world.log.len() - 1;
    let second = put(&one, world.space, "b");
    world.upload(&one);
    two.ingest(world.space, &world.log[..unread], None).unwrap();
    let (offset, batch) = &world.log[unread];
    two.keep_unread(world.space, *offset, batch.as_bytes(), None).unwrap();
    two.ingest(world.space, &world.log[unread + 1..], None).unwrap();
    let is_here = |id| two.get(world.space, "event", id).unwrap().is_some();
    assert!(is_here(second) && !is_here(first));
    two.read_unread().unwrap();
    assert!(is_here(first));
}

#[test]
fn what_an_older_program_could_not_read_is_read_when_the_store_is_opened() {
    let mut world = World::new();
    let one = world.device(1, 0);
    let id = put(&one, world.space, "a");
    world.upload(&one);
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig { path: Some(directory.path().join("a.db")), identity: None, ..world.config(5) };
    {
        let replica = Store::open(config.clone()).unwrap();
        replica.join_space(world.space).unwrap();
        for (offset, batch) in &world.log {
            replica.keep_unread(world.space, *offset, batch.as_bytes(), None).unwrap();
        }
    }
    let replica = Store::open(config.clone()).unwrap();
    assert!(replica.get(world.space, "event", id).unwrap().is_some());
    assert_eq!(replica.counts().unwrap().unread, 0);
    drop(replica);
    // And who belongs to the space is known again after opening.
    let replica = Store::open(config.clone()).unwrap();
    assert!(replica.membership(world.space).unwrap().device(one.device().unwrap()).is_some());
    let beside = Store::open_read_only(config).unwrap();
    assert!(beside.membership(world.space).unwrap().device(one.device().unwrap()).is_some());
}

#[test]
fn what_is_pending_here_is_part_of_the_record_when_others_edit_it() {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    let space = world.space;
    let id = put(&one, space, "a");
    world.upload(&one);
    world.download(&two);
    world.download(&one);
    one.write(|w| w.patch(space, "event", id, sets("note", "pending"))).unwrap();
    two.write(|w| w.patch(space, "event", id, sets("title", "b"))).unwrap();
    world.upload(&two);
    world.download(&one);
    let fields = one.get(space, "event", id).unwrap().unwrap().fields;
    assert_eq!((&fields["note"], &fields["title"]), (&"pending".into(), &"b".into()));
}

#[test]
fn a_record_made_on_two_devices_under_one_id_is_one_record_with_conflicts() {
    let mut world = World::new();
    let (one, two) = (world.device(1, 0), world.device(2, 1));
    let id = RecordId::from_bytes([5; 16]);
    for (store, title) in [(&one, "one"), (&two, "two")] {
        store.write(|w| w.put(world.space, "event", Some(id), event(title, 1.0, 2.0))).unwrap();
        world.upload(store);
    }
    for store in [&one, &two] {
        world.download(store);
        assert_eq!(store.get(world.space, "event", id).unwrap().unwrap().conflicts, 1);
    }
    assert_eq!(one.digest(world.space).unwrap(), two.digest(world.space).unwrap());
}

#[test]
fn a_batch_that_waited_for_a_newer_program_is_taken_in_when_the_store_is_opened() {
    let mut world = World::new();
    let one = world.device(1, 0);
    let id = put(&one, world.space, "a");
    world.upload(&one);
    let directory = tempfile::tempdir().unwrap();
    let config = StoreConfig { path: Some(directory.path().join("a.db")), identity: None, ..world.config(5) };
    let replica = Store::open(config.clone()).unwrap();
    replica.join_space(world.space).unwrap();
    // As a program leaves it that knows neither how to open the batch nor what it says.
    replica.ingest(world.space, &world.log[..world.log.len() - 1], None).unwrap();
    replica
        .inner
        .transaction(|writing| {
            let number = space::number(writing.transaction, world.space)?.unwrap();
            let (offset, batch) = world.log.last().unwrap();
            Ingest::new(writing, number, world.space).insert(Some(*offset), batch, UNREAD)
        })
        .unwrap();
    assert_eq!(replica.counts().unwrap().unread, 1);
    drop(replica);
    let replica = Store::open(config).unwrap();
    assert!(replica.get(world.space, "event", id).unwrap().is_some());
    assert_eq!(replica.counts().unwrap().unread, 0);
}

mod ahead;
mod large;
