//! What the tests of documents share: generated values and edits, and Automerge as the oracle.

use std::collections::BTreeMap;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, ROOT, ReadDoc, ScalarValue};
use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::id::{ActorId, ChangeHash};
use crate::model::{Field, FieldType, Fields, Kind, Value};

use super::witness::to_scalar;
use super::{CAPTURE_KEY, Change, Document, NewChange, Op, WITHDRAWN_KEY, create, scan};

/// What one edit puts.
pub(super) type Puts = BTreeMap<String, Option<Value>>;

pub(super) fn actor(n: u8) -> ActorId {
    // The order of the bytes is not the order of the numbers: nothing may rely on it.
    ActorId::from_bytes([n.wrapping_mul(151) ^ 0x5a; 16])
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + seconds * 1000)
}

pub(super) fn puts<const N: usize>(puts: [(&str, Option<Value>); N]) -> Puts {
    puts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

pub(super) fn fields<const N: usize>(fields: [(&str, Value); N]) -> Fields {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

pub(super) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        prop_oneof![-70..70i64, any::<i64>()].prop_map(Value::Int),
        (proptest::num::f64::NORMAL | proptest::num::f64::ZERO).prop_map(Value::Float),
        prop_oneof![Just(String::new()), "[a-c]{0,3}", "\\PC{0,40}"].prop_map(Value::Text),
        proptest::collection::vec(any::<u8>(), 0..200).prop_map(Value::Bytes),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            proptest::collection::btree_map("[a-c]{0,2}", inner, 0..3).prop_map(Value::Map),
        ]
    })
}

/// Few names, so that edits meet on them.
pub(super) fn any_field() -> impl Strategy<Value = String> {
    prop_oneof![8 => "[a-e]", 1 => "[0-9A-Z~]x", 1 => "notes/[ab]", 1 => "\\PC{1,12}"]
        .prop_filter("reserved", |name| !super::rule::is_reserved(name))
}

pub(super) fn any_fields() -> impl Strategy<Value = Fields> {
    proptest::collection::btree_map(any_field(), any_value(), 0..20)
}

pub(super) fn any_puts() -> impl Strategy<Value = Puts> {
    proptest::collection::btree_map(any_field(), proptest::option::weighted(0.8, any_value()), 1..6)
}

/// The change as one to be written, to change it and write it again.
pub(super) fn rewritten(change: &Change) -> NewChange {
    let Change { hash: _, actor, seq, start_op, time, deps, ops } = change.clone();
    NewChange { actor, seq, start_op, time, deps, ops }
}

pub(super) fn put(key: &str, value: impl Into<Value>) -> Op {
    Op { key: key.to_owned(), value: Some(value.into()), predecessors: Vec::new() }
}

/// A first change that puts these operations.
pub(super) fn first(ops: Vec<Op>) -> NewChange {
    NewChange { actor: actor(1), seq: 1, start_op: 1, time: at(0), deps: Vec::new(), ops }
}

/// What Automerge itself would write for these operations on this document.
pub(super) fn automerge_writes(
    automerge: &Automerge,
    actor: ActorId,
    time: Timestamp,
    ops: &[Op],
) -> Option<Vec<u8>> {
    let mut automerge = automerge.clone();
    automerge.set_actor(automerge::ActorId::from(&actor.as_bytes()[..]));
    let mut transaction = automerge.transaction();
    for op in ops {
        match &op.value {
            Some(value) => transaction.put(ROOT, op.key.as_str(), to_scalar(value)).unwrap(),
            None => transaction.delete(ROOT, op.key.as_str()).unwrap(),
        }
    }
    let (hash, _) = transaction.commit_with(CommitOptions::default().with_time(time.as_millis()));
    Some(automerge.get_change_by_hash(&hash?)?.raw_bytes().to_vec())
}

/// The root map as Automerge hydrates it, by our mapping of values.
pub(super) fn hydrated(automerge: &Automerge) -> BTreeMap<String, ScalarValue> {
    let automerge::hydrate::Value::Map(map) = automerge.hydrate(None) else { panic!("the root is no map") };
    map.iter()
        .map(|(key, value)| match &value.value {
            automerge::hydrate::Value::Scalar(scalar) => (key.to_string(), scalar.clone()),
            other => panic!("not a scalar: {other:?}"),
        })
        .collect()
}

pub(super) fn apply(automerge: &mut Automerge, raw: &[u8]) {
    let change = automerge::Change::from_bytes(raw.to_vec()).unwrap();
    let _ = change.decode();
    automerge.apply_changes([change]).unwrap();
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Edit { replica: usize, puts: Puts },
    Withdraw { replica: usize, withdrawn: bool },
    Merge { from: usize, into: usize },
}

pub(super) const REPLICAS: usize = 3;

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..REPLICAS, any_puts()).prop_map(|(replica, puts)| Step::Edit { replica, puts }),
        1 => (0..REPLICAS, any::<bool>())
            .prop_map(|(replica, withdrawn)| Step::Withdraw { replica, withdrawn }),
        4 => (0..REPLICAS, 0..REPLICAS).prop_map(|(from, into)| Step::Merge { from, into }),
    ]
}

/// A history: a first change, and what some replicas made of it, ancestors first.
pub(super) fn any_history() -> impl Strategy<Value = Vec<Vec<u8>>> {
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

pub(super) fn event_like() -> Kind {
    let mut kind = Kind::undeclared("test");
    kind.fields = vec![Field::captured("a", FieldType::Text), Field::captured("b", FieldType::Text)];
    kind
}

/// What Automerge shows must be what was folded, reserved keys included.
pub(super) fn assert_same_as_hydrated(document: &Document, automerge: &Automerge) {
    assert!(document.is_shown_by(automerge).unwrap(), "values and conflicts are the same");
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
