//! One change: what the scan accepts, Automerge must take, and both must read the same in it.

use std::collections::BTreeMap;

use automerge::{Automerge, ScalarValue};
use barid_core::clock::Timestamp;
use barid_core::document::{self, CAPTURE_KEY, Folded, NewChange, WITHDRAWN_KEY, encode, scan, to_scalar};
use barid_core::id::ActorId;
use barid_core::model::value::fields_from_cbor;
use barid_core::model::{Field, FieldType, Fields, Kind, Value};

use super::super::{Target, bits, kind, signal};
use crate::forge;
use crate::phone::event_fields;

/// The input is a change's body; the chunk around it is always sound.
pub(super) struct Change {
    history: Vec<Vec<u8>>,
}

impl Change {
    pub(super) fn new() -> Self {
        Self { history: history() }
    }
}

/// The changes of one record: real ones, with everything in them that changes can have.
pub(super) fn history() -> Vec<Vec<u8>> {
    let actor = |number: u8| ActorId::from_bytes([number.wrapping_mul(151) ^ 0x5a; 16]);
    let at = |second: i64| Timestamp::from_millis(1_790_000_000_000 + second * 1000);
    let mut kind = Kind::undeclared("event");
    kind.fields = vec![Field::captured("lat", FieldType::Number), Field::captured("how", FieldType::Text)];
    let nested = Value::Map(Fields::from([("a".to_owned(), Value::List(vec![Value::Null, 1.into()]))]));
    let mut fields = event_fields(1);
    fields.extend([
        ("nested".to_owned(), nested.clone()),
        ("bytes".to_owned(), Value::Bytes(vec![0, 0xff])),
        ("empty".to_owned(), Value::Null),
        ("yes".to_owned(), Value::Bool(true)),
    ]);
    let first = document::create(actor(1), at(0), &kind, &fields).unwrap();
    let mut changes = vec![first.clone()];
    let mut edit = |known: &[usize], by: u8, puts: &[(&str, Option<Value>)]| {
        let mut document =
            document::Document::from_changes(known.iter().map(|at| changes[*at].as_slice())).unwrap();
        let puts: BTreeMap<_, _> = puts.iter().map(|(key, put)| ((*key).to_owned(), put.clone())).collect();
        changes.extend(document.edit(actor(by), at(by.into()), &puts).unwrap());
    };
    edit(&[0], 2, &[("title", Some("أخرى".into())), ("lat", Some(1.5.into()))]);
    edit(&[0], 3, &[("title", Some("other".into())), ("note", None)]);
    edit(&[0, 1, 2], 1, &[("title", Some(nested)), ("yes", None), ("tag/x", Some(Value::Bool(false)))]);
    edit(&[0], 4, &[(WITHDRAWN_KEY, Some(Value::Bool(true)))]);
    edit(&[0, 1, 2, 3, 4], 2, &[(WITHDRAWN_KEY, Some(Value::Bool(false))), ("k", Some(i64::MIN.into()))]);
    changes
}

/// The body of a change: what is behind the chunk's header.
pub(super) fn body_of(raw: &[u8]) -> Vec<u8> {
    let header = 9 + raw[9..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    raw[header..].to_vec()
}

impl Target for Change {
    fn name(&self) -> &'static str {
        "change"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let small = forge::change::Parts::first([1; 16], 3).body();
        self.history.iter().map(|raw| body_of(raw)).chain([small]).collect()
    }

    fn words(&self) -> Vec<Vec<u8>> {
        let hashes = self.history.iter().map(|raw| forge::change::hash(raw).to_vec());
        let actors = (1..5u8).map(|number| vec![number.wrapping_mul(151) ^ 0x5a; 16]);
        let columns = [21u8, 52, 66, 86, 87, 112, 113, 115, 1, 2, 17, 19, 53, 54, 29, 149];
        let keys = [CAPTURE_KEY, WITHDRAWN_KEY, "title", "note"].map(|key| key.as_bytes().to_vec());
        hashes.chain(actors).chain(columns.map(|column| vec![column])).chain(keys).collect()
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let raw = forge::change::chunk(1, input);
        let change = match scan(&raw) {
            Ok(change) => change,
            Err(document::ScanError::Rule(rule)) => return signal((1, kind(&rule))),
            Err(error) => return signal((2, kind(&error))),
        };
        // One form only: what was read is written as the same bytes.
        let document::Change { actor, seq, start_op, time, deps, ops, .. } = change.clone();
        let again = NewChange { actor, seq, start_op, time, deps, ops };
        assert_eq!(encode(&again).unwrap(), raw, "a change is written as it was read");

        let theirs = automerge::Change::from_bytes(raw.clone()).unwrap();
        assert_eq!(theirs.hash().0, *change.hash.as_bytes(), "both give it the same name");
        assert_eq!(theirs.decode().operations.len(), change.ops.len());
        let mut alone = Automerge::new();
        alone.apply_changes([theirs]).unwrap();
        if change.deps.is_empty() {
            let folded = document::fold_one(&change).unwrap();
            let document = document::Document::from_changes([raw.as_slice()]).unwrap();
            assert_eq!(document.fold(), folded, "folding alone and merging are the same");
            assert_same_as_automerge(&folded, &alone);
        }
        let mut document = document::Document::from_changes(self.history.iter().map(Vec::as_slice)).unwrap();
        let before = document.fold();
        let applied = document.apply(&raw);
        match &applied {
            Ok(()) => {
                assert!(document.holds(&change.hash));
                let mut theirs = Automerge::new();
                for raw in self.history.iter().chain([&raw]) {
                    theirs.apply_changes([automerge::Change::from_bytes(raw.clone()).unwrap()]).unwrap();
                }
                assert_same_as_automerge(&document.fold(), &theirs);
                let opened = document::Document::load(document.as_bytes()).unwrap();
                assert_eq!(opened.fold(), document.fold(), "what was saved opens as it was");
                signal((3, bits(change.ops.len()), document.fold().conflicts.len()))
            }
            Err(error) => {
                assert_eq!(document.fold(), before, "what is refused leaves nothing");
                signal((4, kind(error)))
            }
        }
    }
}

/// What Automerge shows must be what was folded, reserved keys included.
pub(super) fn assert_same_as_automerge(folded: &Folded, automerge: &Automerge) {
    let automerge::hydrate::Value::Map(root) = automerge.hydrate(None) else { panic!("the root is a map") };
    let mut root: BTreeMap<String, ScalarValue> = root
        .iter()
        .map(|(key, value)| match &value.value {
            automerge::hydrate::Value::Scalar(scalar) => (key.to_string(), scalar.clone()),
            _ => panic!("only scalars"),
        })
        .collect();
    let captured = match root.remove(CAPTURE_KEY) {
        Some(ScalarValue::Bytes(cbor)) => fields_from_cbor(&cbor).unwrap(),
        Some(_) => panic!("the capture is a map"),
        None => Fields::new(),
    };
    let withdrawn = root.remove(WITHDRAWN_KEY) == Some(ScalarValue::Boolean(true));
    assert!(withdrawn || !folded.withdrawn);
    for (name, value) in &folded.fields {
        let shown = root.remove(name).unwrap_or_else(|| to_scalar(&captured[name]));
        assert_eq!(shown, to_scalar(value), "both show the same value");
    }
    assert!(root.is_empty() && captured.keys().all(|name| folded.fields.contains_key(name)));
}
