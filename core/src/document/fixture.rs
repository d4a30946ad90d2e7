//! What the tests of documents share: generated values and edits, and Automerge as the oracle.

use std::collections::BTreeMap;

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{Automerge, ROOT, ReadDoc, ScalarValue};
use proptest::prelude::*;

use crate::clock::Timestamp;
use crate::id::ActorId;
use crate::model::{Fields, Value};

use super::{Change, NewChange, Op};

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

pub(super) fn to_scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(bool) => ScalarValue::Boolean(*bool),
        Value::Int(int) => ScalarValue::Int(*int),
        Value::Float(float) => ScalarValue::F64(*float),
        Value::Text(text) => ScalarValue::Str(text.as_str().into()),
        nested => ScalarValue::Bytes(nested.to_cbor()),
    }
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
