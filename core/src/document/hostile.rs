//! Documents against hostile changes: what breaks a rule is refused, and what is accepted is harmless.

use automerge::{Automerge, ROOT};
use proptest::prelude::*;

use crate::id::ChangeHash;
use crate::limits::*;
use crate::model::value::ValueError;
use crate::model::{Fields, Value};

use super::encode::{seal_chunk, write_chunk};
use super::fixture::*;
use super::*;

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
            let reopened = Document::load(document.as_bytes()).unwrap();
            assert_eq!(reopened.fold(), document.fold());
            assert!(reopened.holds(&change.hash));
            let mut theirs = Automerge::new();
            history.iter().map(Vec::as_slice).chain([raw]).for_each(|raw| apply(&mut theirs, raw));
            assert_same_as_hydrated(&document, &theirs);
        }
        Err(_) => assert_eq!(document.fold(), before),
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_bytes_are_scanned_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(scan(&bytes).is_err());
        let _ = scan(&seal_chunk(&bytes).0);
        prop_assert!(Document::load(bytes).is_err());
    }

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
    assert!(scan(&encode(&counting(AUTHOR_CHANGES_MAX)).unwrap()).is_ok());
    assert_eq!(violation(&counting(AUTHOR_CHANGES_MAX + 1)), Violation::TooManyByAuthor);
    assert_eq!(violation(&counting(u64::MAX)), Violation::TooManyByAuthor);
    assert_eq!(violation(&counting(0)), Violation::CounterOutOfRange);
}

/// Else one author could make a record that nobody else can hold.
#[test]
fn an_authors_later_changes_of_a_record_are_short_ones() {
    let change = |seq: u64, ops: Vec<Op>| NewChange { seq, ..later(ops) };
    let many = |n: usize| (0..n).map(|i| put(&format!("k{i:02}"), 1)).collect::<Vec<_>>();
    let [long, short] = [AUTHOR_LONG_CHANGES_MAX, AUTHOR_LONG_CHANGES_MAX + 1];
    let just = AUTHOR_LATER_CHANGE_OPS_MAX;
    assert!(scan(&encode(&change(long, many(just + 1))).unwrap()).is_ok());
    assert!(scan(&encode(&change(short, many(just))).unwrap()).is_ok());
    assert_eq!(violation(&change(short, many(just + 1))), Violation::TooManyOps);

    let of_len = |seq: u64, len: usize| change(seq, vec![put("k", "x".repeat(len))]);
    let overhead = write_chunk(&of_len(short, 1900)).0.len() - 1900;
    let just = AUTHOR_LATER_CHANGE_LEN_MAX - overhead;
    assert!(scan(&encode(&of_len(long, just + 1)).unwrap()).is_ok());
    assert!(scan(&encode(&of_len(short, just)).unwrap()).is_ok());
    assert_eq!(violation(&of_len(short, just + 1)), Violation::TooLong);
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
    assert!(matches!(Document::load([]), Err(MergeError::Empty)));
    let raw = encode(&first(vec![put("k", 1)])).unwrap();
    let saved = Document::from_changes([&raw[..]]).unwrap().as_bytes().to_vec();
    assert_eq!(saved, raw);
    for damaged in [&[&raw[..], &raw].concat(), &[&raw[..], &[0]].concat(), &raw[1..].to_vec()] {
        assert!(Document::load(&damaged[..]).is_err());
    }
    let mut damaged = saved;
    damaged[20] ^= 1;
    assert!(Document::load(damaged).is_err());
    let mut automerge = Automerge::new();
    apply(&mut automerge, &raw);
    assert!(matches!(Document::load(automerge.save()), Err(MergeError::Scan(ScanError::ChunkType))));
}
