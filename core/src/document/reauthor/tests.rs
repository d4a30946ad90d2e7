//! What was moved against what it was, and against Automerge.

use std::collections::{BTreeMap, BTreeSet};

use automerge::Automerge;
use proptest::prelude::*;

use crate::document::fixture::*;
use crate::document::*;

/// The author whose changes are moved, and what it is called after that.
const OLD: usize = 1;
const NEW: u8 = 9;

/// A history in which everybody merges what everybody wrote, but for what `OLD` wrote from one step
/// on: that nobody saw. Gives what the others have, and what is to be moved.
#[derive(Debug, Clone)]
struct Torn {
    kept: Vec<Vec<u8>>,
    unseen: Vec<Vec<u8>>,
}

fn tear(fields: crate::model::Fields, steps: Vec<Step>, from: usize) -> Torn {
    let first = create(actor(0), at(0), &event_like(), &fields).unwrap();
    let mut replicas: Vec<Document> =
        (0..REPLICAS).map(|_| Document::from_changes([&first[..]]).unwrap()).collect();
    let mut all = BTreeMap::from([(scan(&first).unwrap().hash, first.clone())]);
    let mut torn = Torn { kept: vec![first], unseen: Vec::new() };
    for (time, step) in steps.into_iter().enumerate() {
        let (replica, puts) = match step {
            Step::Edit { replica, puts } => (replica, puts),
            Step::Withdraw { replica, withdrawn } => {
                (replica, puts([(WITHDRAWN_KEY, Some(Value::Bool(withdrawn)))]))
            }
            Step::Merge { from: OLD, .. } if time >= from => continue,
            Step::Merge { from, into } => {
                let hashes: Vec<ChangeHash> = replicas[from].changes().map(|change| change.hash).collect();
                hashes.iter().for_each(|hash| replicas[into].apply(&all[hash]).unwrap());
                continue;
            }
        };
        let raw = replicas[replica].edit(actor(replica as u8), at(time as i64), &puts).unwrap();
        let Some(raw) = raw else { continue };
        all.insert(scan(&raw).unwrap().hash, raw.clone());
        let is_unseen = replica == OLD && time >= from;
        if is_unseen { &mut torn.unseen } else { &mut torn.kept }.push(raw);
    }
    torn
}

fn any_torn() -> impl Strategy<Value = Torn> {
    (any_fields(), proptest::collection::vec(any_step(), 1..24))
        .prop_flat_map(|(fields, steps)| {
            let len = steps.len();
            (Just(fields), Just(steps), 0..len)
        })
        .prop_map(|(fields, steps, from)| tear(fields, steps, from))
}

fn scanned(raw: &[Vec<u8>]) -> Vec<Change> {
    raw.iter().map(|raw| scan(raw).unwrap()).collect()
}

fn is_own(author: ActorId) -> bool {
    author == actor(OLD as u8) || author == actor(NEW)
}

fn move_all(torn: &Torn) -> Vec<Moved> {
    reauthor(&scanned(&torn.kept), &scanned(&torn.unseen), actor(NEW), is_own).unwrap()
}

fn written(moved: &[Moved]) -> Vec<Vec<u8>> {
    let raw = |moved: &Moved| match moved {
        Moved::Written { raw, .. } => Some(raw.clone()),
        Moved::Held(_) => None,
    };
    moved.iter().filter_map(raw).collect()
}

fn document(parts: [&[Vec<u8>]; 2]) -> Document {
    Document::from_changes(parts.concat().iter().map(Vec::as_slice)).unwrap()
}

/// Every live value of every key, whoever put it.
fn values(document: &Document) -> BTreeMap<String, Vec<String>> {
    let values = |live: &[super::super::fold::Live<'_>]| {
        let mut values: Vec<_> =
            live.iter().map(|live| live.value.to_cbor()).map(|cbor| format!("{cbor:?}")).collect();
        values.sort_unstable();
        values
    };
    document.live().iter().map(|(key, live)| ((*key).to_owned(), values(live))).collect()
}

/// Which fields are in conflict, and between what.
fn conflicts(folded: &Folded) -> BTreeMap<String, BTreeSet<Option<Vec<u8>>>> {
    let sides = |conflict: &Conflict| {
        conflict.values.iter().map(|side| side.value.as_ref().map(Value::to_cbor)).collect()
    };
    folded.conflicts.iter().map(|conflict| (conflict.field.clone(), sides(conflict))).collect()
}

/// What people see must be the same, but for which of several values is shown first.
fn assert_shows_the_same(before: &Document, after: &Document) {
    let (old, new) = (before.fold(), after.fold());
    assert_eq!(values(before), values(after));
    assert_eq!(conflicts(&old), conflicts(&new));
    let undisputed = |folded: &Folded| {
        let disputed = |name: &String| folded.conflicts.iter().any(|conflict| conflict.field == *name);
        let fields: Vec<_> = folded.fields.clone().into_iter().filter(|(name, _)| !disputed(name)).collect();
        let is_disputed = disputed(&WITHDRAWN_KEY.to_owned());
        (fields, (!is_disputed).then_some(folded.withdrawn), folded.updated.time)
    };
    let (fields, withdrawn, _) = undisputed(&old);
    let (fields_after, withdrawn_after, _) = undisputed(&new);
    assert_eq!(fields, fields_after);
    assert_eq!(withdrawn, withdrawn_after);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_record_shows_the_same_values_and_conflicts_after_its_changes_were_moved(torn in any_torn()) {
        let moved = written(&move_all(&torn));
        prop_assert_eq!(moved.len(), torn.unseen.len());
        let (before, after) = (document([&torn.kept, &torn.unseen]), document([&torn.kept, &moved]));
        assert_shows_the_same(&before, &after);
        let mut automerge = Automerge::new();
        for raw in torn.kept.iter().chain(&moved) {
            apply(&mut automerge, raw);
        }
        assert_same_as_hydrated(&after, &automerge);
        for (old, new) in scanned(&torn.unseen).iter().zip(scanned(&moved)) {
            prop_assert_eq!(new.actor, actor(NEW));
            prop_assert_eq!(new.time, old.time);
            prop_assert_eq!((new.start_op, new.ops.len()), (old.start_op, old.ops.len()));
        }
    }

    #[test]
    fn what_was_moved_once_is_found_and_not_moved_again(torn in any_torn(), seen in 0..24usize) {
        // The first of them reached the others, as whole changes do: what built on them came too.
        let moved = written(&move_all(&torn));
        let seen = seen.min(moved.len());
        let known = Torn {
            kept: [&torn.kept[..], &moved[..seen]].concat(),
            unseen: torn.unseen.clone(),
        };
        let again = move_all(&known);
        prop_assert!(again[..seen].iter().all(|moved| matches!(moved, Moved::Held(_))));
        prop_assert_eq!(written(&again), &moved[seen..]);
    }

    #[test]
    fn a_change_moved_twice_is_still_the_same(torn in any_torn()) {
        let once = written(&move_all(&torn));
        let twice = reauthor(&scanned(&torn.kept), &scanned(&once), actor(NEW + 1), is_own).unwrap();
        let twice = written(&twice);
        assert_shows_the_same(&document([&torn.kept, &torn.unseen]), &document([&torn.kept, &twice]));
    }
}

#[test]
fn the_same_words_written_twice_are_two_changes() {
    let base = create(actor(0), at(0), &event_like(), &fields([("c", 1i64.into())])).unwrap();
    let mut document = Document::from_changes([&base[..]]).unwrap();
    let mut edit =
        |value: i64| document.edit(actor(1), at(5), &puts([("c", Some(value.into()))])).unwrap().unwrap();
    let unseen = vec![edit(2), edit(3), edit(2)];
    let torn = Torn { kept: vec![base.clone()], unseen: unseen.clone() };
    let moved = written(&move_all(&torn));
    assert_eq!(moved.len(), 3);
    // The others have the first of them by its old name: it is no twin of the third.
    let torn = Torn { kept: vec![base, unseen[0].clone()], unseen: unseen[1..].to_vec() };
    assert_eq!(written(&move_all(&torn)).len(), 2);
}

#[test]
fn moved_changes_follow_what_the_new_name_wrote_already() {
    let base = create(actor(0), at(0), &event_like(), &fields([("c", 1i64.into())])).unwrap();
    let edit = |by: u8, value: i64| {
        let mut document = Document::from_changes([&base[..]]).unwrap();
        document.edit(actor(by), at(by.into()), &puts([("c", Some(value.into()))])).unwrap().unwrap()
    };
    let (unseen, own) = (edit(OLD as u8, 2), edit(NEW, 3));
    let torn = Torn { kept: vec![base, own.clone()], unseen: vec![unseen] };
    let moved = move_all(&torn);
    let Moved::Written { change, .. } = &moved[0] else { panic!("it is written") };
    assert_eq!(change.seq, 2);
    assert!(change.deps.contains(&scan(&own).unwrap().hash));
    assert_shows_the_same(&document([&torn.kept, &torn.unseen]), &document([&torn.kept, &written(&moved)]));
}

#[test]
fn a_first_change_that_is_first_no_longer_keeps_what_it_captured() {
    let make = |by: u8, value: &str| {
        create(actor(by), at(by.into()), &event_like(), &fields([("a", value.into()), ("c", value.into())]))
            .unwrap()
    };
    let (theirs, unseen) = (make(0, "theirs"), make(OLD as u8, "ours"));
    let mut others = Document::from_changes([&theirs[..]]).unwrap();
    let own = others.edit(actor(NEW), at(3), &puts([("d", Some(1i64.into()))])).unwrap().unwrap();
    let torn = Torn { kept: vec![theirs, own], unseen: vec![unseen] };
    let moved = written(&move_all(&torn));
    let after = document([&torn.kept, &moved]).fold();
    assert_eq!(after.fields["a"], "ours".into());
    assert!(after.conflicts.iter().any(|conflict| conflict.field == "c"));
}
