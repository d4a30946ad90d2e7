//! Automerge as a witness: whether it makes the same of a record's changes.
//!
//! What runs where records are merged is our own register ([`Document`]), because of what Automerge's
//! documents cost; the format and its meaning are Automerge's. So whoever checks a store does not ask the
//! code that filled it, but Automerge.

use automerge::{ActorId, Automerge, AutomergeError, ObjId, ROOT, ReadDoc, ScalarValue};

use crate::model::Value;

use super::Document;

/// Automerge could not be asked: it refuses a change, though [`scan`](super::scan) took it.
#[derive(Debug, thiserror::Error)]
#[error("asking Automerge for its merge of a record")]
pub struct WitnessError(#[source] Box<AutomergeError>);

impl From<AutomergeError> for WitnessError {
    fn from(error: AutomergeError) -> Self {
        Self(Box::new(error))
    }
}

impl Document {
    /// Whether Automerge, given the same changes, shows the same values, of the same operations, under
    /// every key, and the same one first of those in conflict.
    pub fn is_confirmed_by_automerge(&self) -> Result<bool, WitnessError> {
        let mut automerge = Automerge::new();
        let mut changes = Vec::new();
        for (_, raw) in self.changes_with_bytes() {
            changes.push(automerge::Change::from_bytes(raw.to_vec()).map_err(AutomergeError::from)?);
        }
        automerge.apply_changes(changes)?;
        self.is_shown_by(&automerge)
    }

    /// Whether this is what an Automerge document shows.
    pub(super) fn is_shown_by(&self, automerge: &Automerge) -> Result<bool, WitnessError> {
        let live = self.live();
        if automerge.length(ROOT) != live.len() {
            return Ok(false);
        }
        for (key, ours) in live {
            let theirs = automerge.get_all(ROOT, key)?;
            // Automerge lists the winner last.
            let is_same = theirs.len() == ours.len()
                && ours.iter().rev().zip(&theirs).all(|(ours, (value, id))| {
                    let actor = ActorId::from(&ours.id.actor.as_bytes()[..]);
                    let is_same_operation = matches!(id, ObjId::Id(counter, author, _)
                        if *counter == ours.id.counter && *author == actor);
                    is_same_operation && value.as_scalar() == Some(&to_scalar(ours.value))
                });
            if !is_same {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A value as Automerge holds it: what is nested is bytes to it.
pub fn to_scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(bool) => ScalarValue::Boolean(*bool),
        Value::Int(int) => ScalarValue::Int(*int),
        Value::Float(float) => ScalarValue::F64(*float),
        Value::Text(text) => ScalarValue::Str(text.as_str().into()),
        nested => ScalarValue::Bytes(nested.to_cbor()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::fixture::{actor, apply, at, event_like, fields, puts};
    use super::super::{Document, create};
    use super::*;

    #[test]
    fn another_value_another_key_and_another_side_of_a_conflict_are_seen() {
        let text = |text: &str| Value::Text(text.to_owned());
        let first = create(actor(1), at(0), &event_like(), &fields([("note", text("a"))])).unwrap();
        let mut document = Document::from_changes([first.as_slice()]).unwrap();
        let mut automerge = Automerge::new();
        apply(&mut automerge, &first);
        assert!(document.is_confirmed_by_automerge().unwrap() && document.is_shown_by(&automerge).unwrap());
        let mut other = Document::from_changes([first.as_slice()]).unwrap();
        let edits = [
            document.edit(actor(1), at(1), &puts([("note", Some(text("b")))])).unwrap().unwrap(),
            other.edit(actor(2), at(2), &puts([("note", Some(text("c")))])).unwrap().unwrap(),
            other.edit(actor(2), at(3), &puts([("state", Some(text("d")))])).unwrap().unwrap(),
        ];
        for edit in &edits {
            document.apply(edit).unwrap();
            assert!(document.is_confirmed_by_automerge().unwrap());
            assert!(!document.is_shown_by(&automerge).unwrap(), "it lacks this change");
            apply(&mut automerge, edit);
            assert!(document.is_shown_by(&automerge).unwrap());
        }
    }
}
