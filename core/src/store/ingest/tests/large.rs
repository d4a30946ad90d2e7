//! A record of very many changes: what a member can do to everybody who takes them in.

use std::time::{Duration, Instant};

use super::*;
use crate::document::{EditError, EncodeError, OpId, Violation, write_unchecked};
use crate::id::ChangeHash;
use crate::limits::{AUTHOR_LATER_CHANGE_LEN_MAX, AUTHOR_LONG_CHANGES_MAX};
use crate::store::WriteError;

/// Fields of the record that are written by turns.
const FIELDS: u64 = 64;
const LONG: u32 = AUTHOR_LONG_CHANGES_MAX as u32;

/// One author's changes of one record, each on top of the one before.
struct Author {
    actor: ActorId,
    changes: u64,
    head: Vec<ChangeHash>,
}

impl Author {
    fn next(&mut self, len: usize) -> Vec<u8> {
        self.changes += 1;
        let number = self.changes;
        let mut noise = vec![0; len];
        blake3::Hasher::new().update(&number.to_be_bytes()).finalize_xof().fill(&mut noise);
        let text: String = noise.iter().map(|byte| char::from(b'0' + byte % 64)).collect();
        let replaces = number.checked_sub(FIELDS).filter(|counter| *counter > 0);
        let op = Op {
            key: format!("k{:02}", number % FIELDS),
            value: Some(text.into()),
            predecessors: replaces.map(|counter| OpId { counter, actor: self.actor }).into_iter().collect(),
        };
        let change = NewChange {
            actor: self.actor,
            seq: number,
            start_op: number,
            time: Timestamp::from_millis(1),
            deps: self.head.clone(),
            ops: vec![op],
        };
        // Longer than an honest author could.
        let (raw, hash) = write_unchecked(&change);
        self.head = vec![hash];
        raw
    }
}

/// So many changes of one record, in batches of so many.
fn batches(world: &mut World, changes: usize, len: usize, each: usize) -> Vec<(u64, SealedBatch)> {
    let mut forger = Forger::new(world);
    let mut author = Author { actor: forger.actor(), changes: 0, head: Vec::new() };
    let raw: Vec<Vec<u8>> = (0..changes).map(|_| author.next(len)).collect();
    for raw in raw.chunks(each) {
        let entries: Vec<Entry> = raw.iter().map(|raw| entry(1, "event", raw.clone())).collect();
        let batch = forger.seal(&entries);
        world.append(batch);
    }
    world.log.clone()
}

/// Takes batches in by groups; gives how long the longest took.
fn take_in(store: &Store, world: &World, log: &[(u64, SealedBatch)], group: usize) -> Duration {
    let groups = log.chunks(group).map(|batches| {
        let begun = Instant::now();
        store.ingest(world.space, batches, None).unwrap();
        begun.elapsed()
    });
    groups.max().unwrap()
}

/// What a replica may need for one group, on a busy machine without optimisation: the relay's worker has
/// a minute for it.
const GROUP_MAX: Duration = Duration::from_secs(6);

#[test]
fn thousands_of_long_changes_of_one_record_are_taken_in_at_once_however_they_are_split() {
    let mut shown = Vec::new();
    for (each, group) in [(40, 1000), (40, 3), (1, 1)] {
        let mut world = World::new();
        let log = batches(&mut world, 4000, 6000, each);
        let store = world.replica();
        let longest = take_in(&store, &world, &log, group);
        assert!(longest < GROUP_MAX, "{each} changes a batch, {group} batches at a time: {longest:?}");
        assert_eq!(store.counts().unwrap().refused, 4000 - u64::from(LONG), "what is too much");
        shown.push(store.digest(world.space).unwrap());
    }
    assert!(shown.windows(2).all(|pair| pair[0] == pair[1]), "and all show the same");
}

#[test]
fn thousands_of_short_changes_of_one_record_cost_what_they_say() {
    let mut world = World::new();
    let log = batches(&mut world, 4000, 1900, 100);
    let stores = [world.replica(), world.replica(), world.stranger(9)];
    for (store, group) in stores.iter().zip([1000, 3, 5]) {
        let longest = take_in(store, &world, &log, group);
        assert!(longest < GROUP_MAX, "{group} batches at a time: {longest:?}");
        assert_eq!(store.counts().unwrap().refused, 0);
    }
    let shown = stores.map(|store| store.digest(world.space).unwrap());
    assert!(shown.iter().all(|digest| *digest == shown[0]));
}

#[test]
fn who_changed_a_record_too_often_is_told_and_nothing_else_fails() {
    let mut world = World::new();
    let store = world.device(1, 0);
    let id = put(&store, world.space, "a");
    let long = |n: u64| sets("note", format!("{n}{}", "x".repeat(AUTHOR_LATER_CHANGE_LEN_MAX)));
    let changed = (1..=u64::from(LONG))
        .map(|n| store.write(|w| w.patch(world.space, "event", id, long(n))).map_err(|error| (n, error)));
    let (at, error) = changed.filter_map(Result::err).next().unwrap();
    assert_eq!(at, u64::from(LONG), "the record itself was the first");
    assert!(matches!(error, WriteError::Fields(EditError::Encode(EncodeError::Rule(Violation::TooLong)))));
    store.write(|w| w.patch(world.space, "event", id, sets("note", "short"))).unwrap();
    assert_eq!(store.get(world.space, "event", id).unwrap().unwrap().fields["note"], "short".into());
}
