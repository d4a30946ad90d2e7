//! Documents against Automerge itself: the same bytes, the same merge, in whatever order.

use std::collections::BTreeMap;

use automerge::Automerge;
use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::model::{Field, FieldType, Kind, Value};

use super::fixture::*;
use super::*;

/// One replica twice: ours, and Automerge fed with the same changes.
struct Replica {
    ours: Document,
    automerge: Automerge,
}

impl Replica {
    fn new(first: &[u8]) -> Self {
        let mut automerge = Automerge::new();
        apply(&mut automerge, first);
        Self { ours: Document::from_changes([first]).unwrap(), automerge }
    }

    fn receive(&mut self, raw: &[u8]) {
        self.ours.apply(raw).unwrap();
        apply(&mut self.automerge, raw);
    }
}

fn fold_all(raw: &[Vec<u8>]) -> Folded {
    Document::from_changes(raw.iter().map(Vec::as_slice)).unwrap().fold()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_first_change_is_written_as_automerge_writes_it(fields in any_fields()) {
        let raw = create(actor(1), at(1), &event_like(), &fields).unwrap();
        let change = scan(&raw).unwrap();
        let theirs = automerge_writes(&Automerge::new(), actor(1), at(1), &change.ops).unwrap();
        prop_assert_eq!(&raw, &theirs);
        let mut automerge = Automerge::new();
        apply(&mut automerge, &raw);
        prop_assert_eq!(encode(&rewritten(&change)).unwrap(), theirs);

        prop_assert!(is_first(&raw));
        let folded = fold_one(&change).unwrap();
        let document = Document::from_changes([&raw[..]]).unwrap();
        prop_assert_eq!(&folded, &document.fold());
        prop_assert_eq!(&folded.fields, &fields);
        assert_same_as_hydrated(&document, &automerge);
    }

    #[test]
    fn an_edit_is_written_as_automerge_writes_it(
        fields in any_fields(),
        steps in proptest::collection::vec(any_step(), 0..16),
    ) {
        let first = create(actor(0), at(0), &event_like(), &fields).unwrap();
        let mut replicas: Vec<_> = (0..REPLICAS).map(|_| Replica::new(&first)).collect();
        let mut all = BTreeMap::from([(scan(&first).unwrap().hash, first)]);
        for (time, step) in steps.into_iter().enumerate() {
            match step {
                // Automerge writes no withdrawal again that nobody took back; we do, to confirm it.
                Step::Withdraw { .. } => {}
                Step::Edit { replica, puts } => {
                    let (by, time) = (actor(replica as u8), at(time as i64));
                    let replica = &mut replicas[replica];
                    // Automerge settles a conflict in the winner's favour by deleting the others;
                    // we put the value again, so that the change says what was decided.
                    let before = replica.ours.fold();
                    let confirms = before.conflicts.iter().any(|conflict| {
                        let put = puts.get(&conflict.field).map(Option::as_ref);
                        put.is_some_and(|put| put.is_none() || put == before.fields.get(&conflict.field))
                    });
                    if let Some(raw) = replica.ours.edit(by, time, &puts).unwrap() {
                        let change = scan(&raw).unwrap();
                        prop_assert!(!is_first(&raw));
                        prop_assert_eq!(&encode(&rewritten(&change)).unwrap(), &raw);
                        let theirs =
                            automerge_writes(&replica.automerge, by, time, &change.ops).unwrap();
                        let read = scan(&theirs).unwrap();
                        prop_assert_eq!(&encode(&rewritten(&read)).unwrap(), &theirs);
                        // Automerge also names the author's last change where a head implies it.
                        prop_assert!(change.deps.iter().all(|dep| read.deps.contains(dep)));
                        prop_assert!(read.deps.len() <= change.deps.len() + 1);
                        if !confirms {
                            let deps = read.deps;
                            let ours = encode(&NewChange { deps, ..rewritten(&change) }).unwrap();
                            prop_assert_eq!(ours, theirs);
                        }
                        apply(&mut replica.automerge, &raw);
                        all.insert(change.hash, raw);
                    }
                }
                Step::Merge { from, into } => {
                    let hashes: Vec<_> =
                        replicas[from].ours.changes().map(|change| change.hash).collect();
                    hashes.iter().for_each(|hash| replicas[into].receive(&all[hash]));
                }
            }
        }
        for replica in &replicas {
            assert_same_as_hydrated(&replica.ours, &replica.automerge);
            let opened = Automerge::load(replica.ours.as_bytes()).unwrap();
            prop_assert_eq!(hydrated(&opened), hydrated(&replica.automerge));
            let heads: Vec<_> = replica.automerge.get_heads();
            let ours: Vec<_> =
                replica.ours.heads().iter().map(|h| automerge::ChangeHash(*h.as_bytes())).collect();
            prop_assert_eq!(heads, ours);
        }
    }

    #[test]
    fn a_fold_does_not_depend_on_the_order_of_arrival(
        (history, shuffled) in any_history()
            .prop_flat_map(|history| (Just(history.clone()), Just(history).prop_shuffle())),
    ) {
        let folded = fold_all(&history);
        prop_assert_eq!(&fold_all(&shuffled), &folded);

        // One by one, each as soon as its ancestors are there, as a store does it.
        let (roots, mut waiting): (Vec<_>, Vec<_>) =
            shuffled.iter().partition(|raw| scan(raw).unwrap().deps.is_empty());
        let mut document = Document::from_changes(roots.iter().map(|raw| raw.as_slice())).unwrap();
        while !waiting.is_empty() {
            waiting.retain(|raw| match document.apply(raw) {
                Ok(()) => false,
                Err(error) => {
                    assert!(error.is_missing_ancestor(), "{error}");
                    true
                }
            });
        }
        prop_assert_eq!(&document.fold(), &folded);
        prop_assert_eq!(&Document::load(document.as_bytes()).unwrap().fold(), &folded);
    }

    #[test]
    fn a_merge_agrees_with_a_register_per_key(history in any_history()) {
        let document = Document::from_changes(history.iter().map(Vec::as_slice)).unwrap();
        let folded = document.fold();
        let mut registers: BTreeMap<&str, BTreeMap<OpId, Option<&Value>>> = BTreeMap::new();
        for change in document.changes() {
            for (index, op) in change.ops.iter().enumerate() {
                let id = OpId { counter: change.start_op + index as u64, actor: change.actor };
                registers.entry(&op.key).or_default().insert(id, op.value.as_ref());
            }
        }
        for op in document.changes().flat_map(|change| &change.ops) {
            let register = registers.get_mut(op.key.as_str()).unwrap();
            op.predecessors.iter().for_each(|id| *register.get_mut(id).unwrap() = None);
        }
        let live: BTreeMap<&str, Vec<OpId>> = document
            .live()
            .into_iter()
            .map(|(key, live)| (key, live.iter().rev().map(|live| live.id).collect()))
            .collect();
        for (key, register) in registers {
            let ids: Vec<OpId> =
                register.iter().filter(|(_, value)| value.is_some()).map(|(id, _)| *id).collect();
            prop_assert_eq!(live.get(key).cloned().unwrap_or_default(), ids);
            let winner = register.values().rev().find_map(|value| *value);
            if !rule::is_reserved(key) && key != "a" && key != "b" {
                prop_assert_eq!(folded.fields.get(key), winner);
            }
        }
    }

    #[test]
    fn an_edit_settles_what_it_touches(history in any_history(), puts in any_puts()) {
        let mut document = Document::from_changes(history.iter().map(Vec::as_slice)).unwrap();
        document.edit(actor(7), at(99), &puts).unwrap();
        let folded = document.fold();
        for (name, put) in &puts {
            match put {
                Some(value) => prop_assert_eq!(folded.fields.get(name), Some(value)),
                None => prop_assert!(matches!(folded.fields.get(name), None | Some(Value::Null))),
            }
            prop_assert!(folded.conflicts.iter().all(|conflict| conflict.field != *name));
        }
        prop_assert!(document.edit(actor(7), at(100), &puts).unwrap().is_none());
    }
}

#[test]
fn any_time_is_kept() {
    for millis in [i64::MIN, -1, 0, 63, 64, i64::MAX] {
        let time = Timestamp::from_millis(millis);
        let raw = encode(&NewChange { time, ..first(vec![put("k", 1)]) }).unwrap();
        assert_eq!(scan(&raw).unwrap().time, time);
        assert_eq!(automerge::Change::from_bytes(raw.clone()).unwrap().timestamp(), millis);
        assert_eq!(Document::load(raw).unwrap().fold().created.time, time);
    }
}

#[test]
fn the_examples_of_the_page_are_what_is_written() {
    let time = Timestamp::from_millis(1_790_000_000_000);
    let author: ActorId = "7dab4e109c514f4430d6f3a9d6a927d3".parse().unwrap();
    let title = || ("title", Value::from("وادي"));
    let mut kind = Kind::undeclared("event");
    let plain = create(author, time, &kind, &fields([title()])).unwrap();
    crate::examples::check_hex("change-first", &plain);

    kind.fields = vec![Field::captured("lat", FieldType::Number)];
    let captured = create(author, time, &kind, &fields([("lat", 23.5.into()), title()])).unwrap();
    crate::examples::check_hex("change-capture", &captured);

    let mut document = Document::from_changes([&captured[..]]).unwrap();
    let put = puts([("title", Some(Value::Null))]);
    let editor = ActorId::from_bytes([0x0b; 16]);
    let edit = document.edit(editor, time.plus_millis(60_000), &put).unwrap().unwrap();
    crate::examples::check_hex("change-edit", &edit);
}
