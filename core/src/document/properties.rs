//! Documents against Automerge itself, and against hostile bytes.

use std::collections::BTreeMap;

use automerge::{Automerge, ROOT};
use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::id::ChangeHash;
use crate::limits::*;
use crate::model::value::ValueError;
use crate::model::{Fields, Kind, Value};

use super::encode::{seal_chunk, write_chunk};
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

fn apply(automerge: &mut Automerge, raw: &[u8]) {
    let change = automerge::Change::from_bytes(raw.to_vec()).unwrap();
    let _ = change.decode();
    automerge.apply_changes([change]).unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Edit { replica: usize, puts: Puts },
    Withdraw { replica: usize, withdrawn: bool },
    Merge { from: usize, into: usize },
}

const REPLICAS: usize = 3;

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..REPLICAS, any_puts()).prop_map(|(replica, puts)| Step::Edit { replica, puts }),
        1 => (0..REPLICAS, any::<bool>())
            .prop_map(|(replica, withdrawn)| Step::Withdraw { replica, withdrawn }),
        4 => (0..REPLICAS, 0..REPLICAS).prop_map(|(from, into)| Step::Merge { from, into }),
    ]
}

/// A history: a first change, and what some replicas made of it, ancestors first.
fn any_history() -> impl Strategy<Value = Vec<Vec<u8>>> {
    (any_fields(), proptest::collection::vec(any_step(), 0..16)).prop_map(|(fields, steps)| {
        let first = create(actor(0), at(0), &event_like(), &fields).unwrap();
        let mut replicas: Vec<Document> =
            (0..REPLICAS).map(|_| Document::from_changes([&first[..]]).unwrap()).collect();
        let mut all = BTreeMap::from([(scan(&first).unwrap().hash, first.clone())]);
        let mut history = vec![first];
        for (time, step) in steps.into_iter().enumerate() {
            let (replica, puts) = match step {
                Step::Edit { replica, puts } => (replica, puts),
                Step::Withdraw { replica, withdrawn } => {
                    (replica, puts([(WITHDRAWN_KEY, Some(Value::Bool(withdrawn)))]))
                }
                Step::Merge { from, into } => {
                    let hashes: Vec<ChangeHash> =
                        replicas[from].changes().map(|change| change.hash).collect();
                    hashes.iter().for_each(|hash| replicas[into].apply(&all[hash]).unwrap());
                    continue;
                }
            };
            let raw = replicas[replica].edit(actor(replica as u8), at(time as i64), &puts).unwrap();
            if let Some(raw) = raw {
                all.insert(scan(&raw).unwrap().hash, raw.clone());
                history.push(raw);
            }
        }
        history
    })
}

fn event_like() -> Kind {
    use crate::model::{Field, FieldType};
    let mut kind = Kind::undeclared("test");
    kind.fields = vec![Field::captured("a", FieldType::Text), Field::captured("b", FieldType::Text)];
    kind
}

fn fold_all(raw: &[Vec<u8>]) -> Folded {
    Document::from_changes(raw.iter().map(Vec::as_slice)).unwrap().fold()
}

/// What Automerge shows must be what was folded, reserved keys included.
fn assert_same_as_hydrated(document: &Document, automerge: &Automerge) {
    let mut root = hydrated(automerge);
    let folded = document.fold();
    let captured = match root.remove(CAPTURE_KEY) {
        Some(automerge::ScalarValue::Bytes(cbor)) => crate::model::value::fields_from_cbor(&cbor).unwrap(),
        _ => Fields::new(),
    };
    let withdrawn = root.remove(WITHDRAWN_KEY) == Some(automerge::ScalarValue::Boolean(true));
    assert!(withdrawn || !folded.withdrawn);
    for (name, value) in &folded.fields {
        let shown = root.remove(name).unwrap_or_else(|| to_scalar(&captured[name]));
        assert_eq!(shown, to_scalar(value));
    }
    assert!(root.is_empty());
    assert!(captured.keys().all(|name| folded.fields.contains_key(name)));
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
        prop_assert_eq!(&Document::load(&document.save()).unwrap().fold(), &folded);
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

    #[test]
    fn any_bytes_are_scanned_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(scan(&bytes).is_err());
        let _ = scan(&seal_chunk(&bytes).0);
        prop_assert!(Document::load(&bytes).is_err());
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Copy(prop::sample::Index, prop::sample::Index, usize),
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Set(at, byte) => *at.get_mut(bytes) = *byte,
            Self::Flip(at, bit) => *at.get_mut(bytes) ^= 1 << (bit & 7),
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Self::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Self::Copy(from, to, len) => {
                let from = from.index(bytes.len());
                let part = bytes[from..bytes.len().min(from + len)].to_vec();
                let to = to.index(bytes.len());
                bytes.splice(to..to, part);
            }
        }
    }
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    use prop::sample::Index;
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        any::<Index>().prop_map(Mutation::Remove),
        (any::<Index>(), any::<Index>(), 1usize..24)
            .prop_map(|(from, to, len)| Mutation::Copy(from, to, len)),
    ]
}

/// What the scan accepts, Automerge must take: alone, and where it claims to belong.
fn assert_harmless(raw: &[u8], history: &[Vec<u8>]) -> bool {
    let Ok(change) = scan(raw) else { return false };
    assert_eq!(write_chunk(&rewritten(&change)).0, raw);
    let theirs = automerge::Change::from_bytes(raw.to_vec()).unwrap();
    assert_eq!(theirs.hash().0, *change.hash.as_bytes());
    assert_eq!(theirs.decode().operations.len(), change.ops.len());

    let mut alone = Automerge::new();
    alone.apply_changes([theirs]).unwrap();
    if change.deps.is_empty() {
        let folded = fold_one(&change).unwrap();
        let document = Document::from_changes([raw]).unwrap();
        assert_eq!(document.fold(), folded);
        assert_same_as_hydrated(&document, &alone);
    } else {
        assert!(hydrated(&alone).is_empty());
    }

    let mut document = Document::from_changes(history.iter().map(Vec::as_slice)).unwrap();
    let before = document.fold();
    match document.apply(raw) {
        Ok(()) => {
            assert!(document.holds(&change.hash));
            let reopened = Document::load(&document.save()).unwrap();
            assert_eq!(reopened.fold(), document.fold());
            assert!(reopened.holds(&change.hash));
        }
        Err(MergeError::Automerge(error)) => panic!("automerge refused: {error}"),
        Err(_) => assert_eq!(document.fold(), before),
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn a_mutated_change_that_is_accepted_is_harmless(
        history in any_history(),
        which in any::<prop::sample::Index>(),
        mutants in proptest::collection::vec(proptest::collection::vec(any_mutation(), 1..4), 24),
    ) {
        let raw = which.get(&history[..]);
        let header = 9 + if raw.len() > 9 + 2 + 128 { 2 } else { 1 };
        let body = seal_and_split(raw, header);
        for mutations in mutants {
            let mut body = body.clone();
            mutations.iter().for_each(|mutation| mutation.apply(&mut body));
            assert_harmless(&seal_chunk(&body).0, &history);
        }
    }

    #[test]
    fn a_change_that_lies_about_its_ancestors_is_harmless(
        history in any_history(),
        which in any::<prop::sample::Index>(),
        lies in proptest::collection::vec(any_lie(), 1..4),
    ) {
        let mut change = rewritten(&scan(which.get::<Vec<u8>>(&history)).unwrap());
        let others: Vec<Change> = history.iter().map(|raw| scan(raw).unwrap()).collect();
        for lie in lies {
            lie.tell(&mut change, &others);
        }
        assert_harmless(&write_chunk(&change).0, &history);
    }
}

fn seal_and_split(raw: &[u8], header: usize) -> Vec<u8> {
    let body = [raw[header..].to_vec(), raw[header + 1..].to_vec(), raw[header - 1..].to_vec()]
        .into_iter()
        .find(|body| seal_chunk(body).0 == raw);
    body.unwrap()
}

/// Something that bytes alone do not give away.
#[derive(Debug, Clone)]
enum Lie {
    Seq(i64),
    Start(i64),
    Actor(u8),
    Deps(Vec<prop::sample::Index>),
    Predecessor { op: prop::sample::Index, of: prop::sample::Index, nth: u64 },
    Forget { op: prop::sample::Index },
    Delete { op: prop::sample::Index },
    Rename { op: prop::sample::Index, to: String },
}

fn any_lie() -> impl Strategy<Value = Lie> {
    use prop::sample::Index;
    prop_oneof![
        (-3i64..4).prop_map(Lie::Seq),
        prop_oneof![-3..4i64, Just(i64::from(u32::MAX) - 1)].prop_map(Lie::Start),
        (0u8..4).prop_map(Lie::Actor),
        proptest::collection::vec(any::<Index>(), 0..3).prop_map(Lie::Deps),
        (any::<Index>(), any::<Index>(), 0u64..3).prop_map(|(op, of, nth)| Lie::Predecessor { op, of, nth }),
        any::<Index>().prop_map(|op| Lie::Forget { op }),
        any::<Index>().prop_map(|op| Lie::Delete { op }),
        (any::<Index>(), any_field()).prop_map(|(op, to)| Lie::Rename { op, to }),
    ]
}

fn picked<'a>(ops: &'a mut [Op], index: &prop::sample::Index) -> &'a mut Op {
    index.get_mut(ops)
}

impl Lie {
    fn tell(&self, change: &mut NewChange, others: &[Change]) {
        match self {
            Self::Seq(by) => change.seq = change.seq.saturating_add_signed(*by),
            Self::Start(by) => change.start_op = change.start_op.saturating_add_signed(*by),
            Self::Actor(n) => change.actor = actor(*n),
            Self::Deps(of) => {
                change.deps = of.iter().map(|index| index.get(others).hash).collect();
                change.deps.sort_unstable();
                change.deps.dedup();
            }
            Self::Predecessor { op, of, nth } => {
                let of = of.get(others);
                let op = picked(&mut change.ops, op);
                op.predecessors.push(OpId { counter: of.start_op + nth, actor: of.actor });
                op.predecessors.sort_unstable();
                op.predecessors.dedup();
            }
            Self::Forget { op } => picked(&mut change.ops, op).predecessors.clear(),
            Self::Delete { op } => picked(&mut change.ops, op).value = None,
            Self::Rename { op, to } => {
                let index = op.index(change.ops.len());
                change.ops[index].key.clone_from(to);
                change.ops.sort_by(|a, b| a.key.cmp(&b.key));
            }
        }
    }
}

/// Scans what [`encode`] refuses to write: both must name the same rule.
fn violation(change: &NewChange) -> Violation {
    let raw = write_chunk(change).0;
    let EncodeError::Rule(written) = encode(change).unwrap_err();
    match scan(&raw).unwrap_err() {
        ScanError::Rule(read) => assert_eq!(read, written),
        other => panic!("{other:?} instead of {written:?}"),
    }
    written
}

fn later(ops: Vec<Op>) -> NewChange {
    let dep = ChangeHash::from_bytes([7; 32]);
    NewChange { actor: actor(1), seq: 2, start_op: 100_000, time: at(0), deps: vec![dep], ops }
}

fn replacing(key: &str, predecessors: Vec<OpId>) -> Op {
    Op { predecessors, ..put(key, 1) }
}

fn id(counter: u64, by: u8) -> OpId {
    OpId { counter, actor: actor(by) }
}

#[test]
fn every_limit_holds_for_reader_and_writer() {
    let many = |n: usize| (0..n).map(|i| put(&format!("k{i:05}"), 1)).collect::<Vec<_>>();
    assert!(scan(&encode(&first(many(CHANGE_OPS_MAX))).unwrap()).is_ok());
    assert_eq!(violation(&first(many(CHANGE_OPS_MAX + 1))), Violation::TooManyOps);
    assert_eq!(violation(&first(Vec::new())), Violation::NoOps);

    let long = |len: usize| first(vec![put("k", "x".repeat(len))]);
    let overhead = write_chunk(&long(CHANGE_LEN_MAX - 100)).0.len() - (CHANGE_LEN_MAX - 100);
    assert!(scan(&encode(&long(CHANGE_LEN_MAX - overhead)).unwrap()).is_ok());
    assert_eq!(violation(&long(CHANGE_LEN_MAX - overhead + 1)), Violation::TooLong);

    let named = |len: usize| first(vec![put(&"k".repeat(len), 1)]);
    assert!(scan(&encode(&named(KEY_LEN_MAX)).unwrap()).is_ok());
    assert_eq!(violation(&named(KEY_LEN_MAX + 1)), Violation::KeyLength);
    assert_eq!(violation(&named(0)), Violation::KeyLength);

    let with_deps = |n: usize| {
        let deps = (0..n).map(|i| ChangeHash::from_bytes([i as u8; 32])).collect();
        NewChange { deps, ..later(vec![put("k", 1)]) }
    };
    assert!(scan(&encode(&with_deps(CHANGE_DEPS_MAX)).unwrap()).is_ok());
    assert_eq!(violation(&with_deps(CHANGE_DEPS_MAX + 1)), Violation::TooManyDeps);

    let with_predecessors = |n: u64| later(vec![replacing("k", (1..=n).map(|c| id(c, 2)).collect())]);
    assert!(scan(&encode(&with_predecessors(OP_PREDECESSORS_MAX as u64)).unwrap()).is_ok());
    assert_eq!(violation(&with_predecessors(OP_PREDECESSORS_MAX as u64 + 1)), Violation::TooManyPredecessors);

    // The author is one of the actors.
    let with_actors = |n: u8| {
        let ops = (0..n).map(|i| replacing(&format!("k{i:05}"), vec![id(5, i + 2)]));
        later(ops.collect())
    };
    assert!(scan(&encode(&with_actors(CHANGE_ACTORS_MAX as u8 - 1)).unwrap()).is_ok());
    assert_eq!(violation(&with_actors(CHANGE_ACTORS_MAX as u8)), Violation::TooManyActors);

    let nested = |depth: usize| {
        let list = (1..depth).fold(Value::List(Vec::new()), |inner, _| Value::List(vec![inner]));
        first(vec![put("k", list)])
    };
    assert!(scan(&encode(&nested(VALUE_DEPTH_MAX + 1)).unwrap()).is_ok());
    assert_eq!(violation(&nested(VALUE_DEPTH_MAX + 2)), Violation::Value(ValueError::TooDeep));

    let starting = |start_op: u64| NewChange { start_op, ..later(vec![put("k", 1), put("l", 1)]) };
    assert!(scan(&encode(&starting(COUNTER_MAX - 1)).unwrap()).is_ok());
    assert_eq!(violation(&starting(COUNTER_MAX)), Violation::CounterOutOfRange);
    assert_eq!(violation(&starting(u64::MAX)), Violation::CounterOutOfRange);
    let counting = |seq: u64| NewChange { seq, ..later(vec![put("k", 1)]) };
    assert!(scan(&encode(&counting(COUNTER_MAX)).unwrap()).is_ok());
    assert_eq!(violation(&counting(COUNTER_MAX + 1)), Violation::CounterOutOfRange);
    assert_eq!(violation(&counting(0)), Violation::CounterOutOfRange);
}

#[test]
fn what_automerge_would_drop_or_choke_on_is_refused() {
    let delete = |predecessors| Op { value: None, ..replacing("k", predecessors) };
    let dep = ChangeHash::from_bytes([7; 32]);
    for (change, expected) in [
        (later(vec![delete(vec![])]), Violation::DeleteOfNothing),
        (first(vec![delete(vec![id(1, 1)])]), Violation::PredecessorNotBefore),
        (later(vec![replacing("k", vec![id(0, 2)])]), Violation::PredecessorNotBefore),
        (later(vec![replacing("k", vec![id(100_000, 1)])]), Violation::PredecessorNotBefore),
        (later(vec![replacing("k", vec![id(5, 2), id(5, 2)])]), Violation::PredecessorsNotSorted),
        (later(vec![replacing("k", vec![id(6, 2), id(5, 2)])]), Violation::PredecessorsNotSorted),
        (NewChange { deps: vec![dep, dep], ..later(vec![put("k", 1)]) }, Violation::DepsNotSorted),
        (NewChange { start_op: 1, ..later(vec![put("k", 1)]) }, Violation::LaterAtOne),
        (NewChange { start_op: 2, ..first(vec![put("k", 1)]) }, Violation::FirstNotAtOne),
        (NewChange { seq: 2, ..first(vec![put("k", 1)]) }, Violation::FirstNotAtOne),
        (first(vec![put("l", 1), put("k", 1)]), Violation::KeysNotSorted),
        (first(vec![put("k", 2), put("k", 1)]), Violation::KeysNotSorted),
        (first(vec![put("@", 1)]), Violation::Capture),
        (later(vec![put("@", Value::Map(Fields::new()))]), Violation::Capture),
        (first(vec![put("@", Value::Map(fields([("@", Value::Null)])))]), Violation::Capture),
        (first(vec![put("@", Value::Map(fields([("", Value::Null)])))]), Violation::KeyLength),
        (first(vec![put("~withdrawn", 1)]), Violation::Withdrawn),
        (later(vec![Op { value: None, ..replacing("~withdrawn", vec![id(5, 2)]) }]), Violation::Withdrawn),
    ] {
        assert_eq!(violation(&change), expected);
    }
    let not_a_number = first(vec![put("k", f64::NAN)]);
    assert_eq!(violation(&not_a_number), Violation::Value(ValueError::NotFinite));
}

/// Changes that Automerge itself writes, and that are not ours.
#[test]
fn what_automerge_can_write_and_records_do_not_use_is_refused() {
    use automerge::transaction::{CommitOptions, Transactable};
    use automerge::{ObjType, ScalarValue};
    type Edit = fn(&mut automerge::transaction::Transaction<'_>);
    let edits: [(Edit, ScanError); 10] = [
        (|t| drop(t.put_object(ROOT, "k", ObjType::Map)), ScanError::OpType),
        (|t| drop(t.put_object(ROOT, "k", ObjType::List)), ScanError::OpType),
        (
            |t| {
                let text = t.put_object(ROOT, "k", ObjType::Text).unwrap();
                t.splice_text(text, 0, 0, "ab").unwrap();
            },
            ScanError::UnusedPart,
        ),
        (|t| t.put(ROOT, "k", ScalarValue::Uint(1)).unwrap(), ScanError::OpType),
        (|t| t.put(ROOT, "k", ScalarValue::counter(1)).unwrap(), ScanError::OpType),
        (|t| t.put(ROOT, "k", ScalarValue::Timestamp(1)).unwrap(), ScanError::OpType),
        (
            |t| {
                let unknown = ScalarValue::Unknown { type_code: 11, bytes: vec![1] };
                t.put(ROOT, "k", unknown).unwrap();
            },
            ScanError::OpType,
        ),
        (|t| t.put(ROOT, "k", vec![0xff]).unwrap(), Violation::Value(ValueError::Unsupported).into()),
        (|t| t.put(ROOT, "k", vec![0x01]).unwrap(), ScanError::NotCanonical),
        (
            |t| {
                t.put(ROOT, "k", 1).unwrap();
                t.put(ROOT, "k", 2).unwrap();
            },
            Violation::KeysNotSorted.into(),
        ),
    ];
    for (edit, expected) in edits {
        let mut automerge = Automerge::new();
        automerge.set_actor(automerge::ActorId::from(&[1u8; 16][..]));
        let mut transaction = automerge.transaction();
        edit(&mut transaction);
        transaction.commit();
        let change = automerge.get_last_local_change().unwrap();
        assert_eq!(scan(change.raw_bytes()), Err(expected));
    }

    let mut automerge = Automerge::new();
    automerge.set_actor(automerge::ActorId::from(&[1u8; 16][..]));
    let mut transaction = automerge.transaction();
    transaction.put(ROOT, "k", "x".repeat(1000)).unwrap();
    transaction.commit_with(CommitOptions::default().with_message("hello"));
    let mut change = automerge.get_last_local_change().unwrap();
    assert_eq!(scan(change.raw_bytes()), Err(ScanError::UnusedPart));
    assert_eq!(scan(&change.bytes()), Err(ScanError::ChunkType), "compressed");
    assert_eq!(scan(&automerge.save()), Err(ScanError::ChunkType), "a document");
}

#[test]
fn a_damaged_chunk_is_refused() {
    let raw = encode(&first(vec![put("k", "value")])).unwrap();
    assert!(scan(&raw).is_ok());
    for at in 0..raw.len() {
        let mut damaged = raw.clone();
        damaged[at] ^= 1;
        assert!(scan(&damaged).is_err(), "a bit at {at}");
        assert!(scan(&raw[..at]).is_err(), "cut at {at}");
    }
    assert_eq!(scan(&[&raw[..], &[0]].concat()), Err(ScanError::UnusedPart));
    assert_eq!(scan(&[&raw[..], &raw].concat()), Err(ScanError::UnusedPart));

    // The same length in two bytes: another hash for the same change.
    let mut longer = raw[..9].to_vec();
    longer.extend([raw[9] | 0x80, 0]);
    longer.extend(&raw[10..]);
    let hash = encode::chunk_hash(&longer);
    longer[4..8].copy_from_slice(&hash[..4]);
    assert_eq!(scan(&longer), Err(ScanError::NotCanonical));
}

#[test]
fn nothing_of_a_value_or_key_shows_in_debug() {
    let change = scan(&encode(&first(vec![put("secretkey", "secretvalue")])).unwrap()).unwrap();
    let shown = format!("{change:?} {:?}", fold_one(&change).unwrap().fields.values());
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn counters_and_ancestors_that_do_not_fit_are_refused() {
    let base = encode(&first(vec![put("k", 1), put("l", 2)])).unwrap();
    let dep = scan(&base).unwrap().hash;
    let good = NewChange {
        actor: actor(2),
        seq: 1,
        start_op: 3,
        time: at(1),
        deps: vec![dep],
        ops: vec![replacing("k", vec![id(1, 1)])],
    };
    let apply =
        |change: NewChange| Document::from_changes([&base[..]]).unwrap().apply(&encode(&change).unwrap());
    assert!(apply(good.clone()).is_ok());
    let unknown = ChangeHash::from_bytes([9; 32]);
    let refused = |change| apply(change).unwrap_err();
    use MergeError::*;
    assert!(matches!(
        refused(NewChange { deps: vec![unknown], ..good.clone() }),
        MissingAncestor(hash) if hash == unknown
    ));
    assert!(matches!(refused(NewChange { seq: 2, ..good.clone() }), WrongSeq { seq: 2 }));
    assert!(matches!(refused(NewChange { actor: actor(1), ..good.clone() }), WrongSeq { seq: 1 }));
    for start_op in [2, 4, COUNTER_MAX] {
        assert!(matches!(refused(NewChange { start_op, ..good.clone() }), WrongStart { .. }));
    }
    // Another key's operation, another actor's, none at all.
    for wrong in [id(2, 1), id(1, 2), id(1, 3)] {
        let ops = vec![replacing("k", vec![wrong])];
        assert!(matches!(refused(NewChange { ops, ..good.clone() }), UnknownPredecessor));
    }

    let mut document = Document::from_changes([&base[..]]).unwrap();
    document.apply(&encode(&good).unwrap()).unwrap();
    let fork = NewChange { time: at(2), ..good.clone() };
    assert!(matches!(document.apply(&encode(&fork).unwrap()).unwrap_err(), DuplicateSeq { seq: 1 }));
    // What is concurrent cannot be replaced, though it is held.
    let blind =
        NewChange { actor: actor(3), ops: vec![replacing("k", vec![id(3, 2)])], start_op: 3, ..good.clone() };
    assert!(scan(&encode(&blind).unwrap_or_default()).is_err(), "3 is not before 3");
    let delete = Op { value: None, ..replacing("k", vec![id(1, 1)]) };
    document.apply(&encode(&NewChange { actor: actor(4), ops: vec![delete], ..good }).unwrap()).unwrap();
    assert_eq!(document.fold().fields.len(), 2, "a concurrent put survives a delete");
}

#[test]
fn a_document_needs_a_change() {
    assert!(matches!(Document::from_changes([]), Err(MergeError::Empty)));
    assert!(matches!(Document::load(&Automerge::new().save()), Err(MergeError::Empty)));
    let raw = encode(&first(vec![put("k", 1)])).unwrap();
    assert!(matches!(Document::load(&raw), Err(MergeError::Saved)));
    let mut saved = Document::from_changes([&raw[..]]).unwrap().save();
    saved[20] ^= 1;
    assert!(matches!(Document::load(&saved), Err(MergeError::Saved)));
}

#[test]
fn any_time_is_kept() {
    for millis in [i64::MIN, -1, 0, 63, 64, i64::MAX] {
        let time = Timestamp::from_millis(millis);
        let raw = encode(&NewChange { time, ..first(vec![put("k", 1)]) }).unwrap();
        assert_eq!(scan(&raw).unwrap().time, time);
        let mut automerge = Automerge::new();
        apply(&mut automerge, &raw);
        assert_eq!(Document::load(&automerge.save()).unwrap().fold().created.time, time);
    }
}

#[test]
fn the_examples_of_the_page_are_what_is_written() {
    use crate::model::{Field, FieldType};
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
