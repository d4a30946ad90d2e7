//! What a record looks like now.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::id::{ActorId, ChangeHash};
use crate::model::{Fields, Value};

use super::{CAPTURE_KEY, Change, OpId, WITHDRAWN_KEY};

/// What a record looks like now: a pure function of its set of changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// The capture, overlaid by the root keys; without the reserved keys.
    pub fields: Fields,
    /// Whether the record is withdrawn, and nobody changed it meanwhile.
    pub withdrawn: bool,
    /// Fields on which concurrent changes disagree, by name.
    pub conflicts: Vec<Conflict>,
    /// Who made the record. Of several first changes, the one of the lowest actor.
    pub created: Origin,
    /// Who changed it last, by counter and then actor: never by the clock.
    pub updated: Origin,
    /// The highest operation counter.
    pub max_op: u64,
    /// The changes that no other one builds on, ascending.
    pub heads: Vec<ChangeHash>,
}

/// Who wrote a change, and when by their own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The author.
    pub actor: ActorId,
    /// When, as claimed.
    pub time: Timestamp,
}

/// A field on which concurrent changes disagree.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The field; [`WITHDRAWN_KEY`] if some withdrew what others went on changing.
    pub field: String,
    /// The different values, the one that is shown first.
    pub values: Vec<ConflictValue>,
}

/// One side of a conflict.
#[derive(Debug, Clone, PartialEq)]
pub struct ConflictValue {
    /// The value. `None`: a capture without this field, or a change beside a withdrawal.
    pub value: Option<Value>,
    /// Who wrote it.
    pub actor: ActorId,
    /// When, as claimed.
    pub time: Timestamp,
    /// The change that wrote it.
    pub hash: ChangeHash,
}

/// A change cannot be folded alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// It builds on others, which are needed too.
    #[error("folding one change that has ancestors")]
    NotFirst,
}

/// Folds a record whose history is this one first change.
pub fn fold_one(change: &Change) -> Result<Folded, FoldError> {
    if !change.deps.is_empty() {
        return Err(FoldError::NotFirst);
    }
    let mut fields = Fields::new();
    let mut withdrawn = false;
    // `@` sorts before letters and after digits, so overlaying must not rely on the order.
    let capture = change.ops.iter().find(|op| op.key == CAPTURE_KEY);
    if let Some(Some(Value::Map(captured))) = capture.map(|op| &op.value) {
        fields.clone_from(captured);
    }
    for op in &change.ops {
        match (op.key.as_str(), &op.value) {
            (CAPTURE_KEY, _) | (_, None) => {}
            (WITHDRAWN_KEY, Some(value)) => withdrawn = *value == Value::Bool(true),
            (key, Some(value)) => {
                fields.insert(key.to_owned(), value.clone());
            }
        }
    }
    let origin = Origin { actor: change.actor, time: change.time };
    Ok(Folded {
        fields,
        withdrawn,
        conflicts: Vec::new(),
        created: origin,
        updated: origin,
        max_op: change.last_op(),
        heads: vec![change.hash],
    })
}

/// A value that no other one has replaced, and the change that put it.
#[derive(Clone, Copy)]
pub(super) struct Live<'a> {
    pub(super) id: OpId,
    pub(super) value: &'a Value,
    pub(super) change: &'a Change,
}

impl Live<'_> {
    fn side(&self, value: Option<Value>) -> ConflictValue {
        let Change { actor, time, hash, .. } = *self.change;
        ConflictValue { value, actor, time, hash }
    }
}

/// Every root key's live values, the winner first, and what a withdrawal is up against.
pub(super) type LiveKeys<'a> = BTreeMap<&'a str, Vec<Live<'a>>>;

/// Fields and conflicts from the live values. `objections` names the changes that are concurrent
/// with every change given.
pub(super) fn overlay<'a>(
    mut live: LiveKeys<'a>,
    objections: impl FnOnce(&[&'a Change]) -> Vec<&'a Change>,
) -> (Fields, bool, Vec<Conflict>) {
    let captures = live.remove(CAPTURE_KEY).unwrap_or_default();
    let flags = live.remove(WITHDRAWN_KEY).unwrap_or_default();

    let mut fields = captures.first().map(|winner| captured(winner).clone()).unwrap_or_default();
    let mut conflicts = capture_conflicts(&captures, &live);
    for (key, values) in &live {
        conflicts.extend(conflict(key, values.iter().map(|l| (*l, Some(l.value)))));
        if let Some(winner) = values.first() {
            fields.insert((*key).to_owned(), winner.value.clone());
        }
    }
    let (withdrawn, dispute) = withdrawal(&flags, objections);
    conflicts.extend(dispute);
    conflicts.sort_by(|a, b| a.field.cmp(&b.field));
    (fields, withdrawn, conflicts)
}

fn captured<'a>(live: &Live<'a>) -> &'a Fields {
    static NOTHING: Fields = Fields::new();
    match live.value {
        Value::Map(fields) => fields,
        _ => &NOTHING, // the scan lets only maps pass
    }
}

/// Two first changes of one record may disagree on what was captured, field by field.
fn capture_conflicts(captures: &[Live<'_>], live: &LiveKeys<'_>) -> Vec<Conflict> {
    if captures.len() < 2 {
        return Vec::new();
    }
    let names: std::collections::BTreeSet<&str> =
        captures.iter().flat_map(|c| captured(c).keys().map(String::as_str)).collect();
    names
        .into_iter()
        .filter(|name| !live.contains_key(name))
        .filter_map(|name| conflict(name, captures.iter().map(|c| (*c, captured(c).get(name)))))
        .collect()
}

/// A conflict if the values differ; each different value once, with its highest operation.
fn conflict<'a>(field: &str, sides: impl Iterator<Item = (Live<'a>, Option<&'a Value>)>) -> Option<Conflict> {
    let mut values: Vec<ConflictValue> = Vec::new();
    for (live, value) in sides {
        if !values.iter().any(|side| side.value.as_ref() == value) {
            values.push(live.side(value.cloned()));
        }
    }
    (values.len() > 1).then(|| Conflict { field: field.to_owned(), values })
}

/// Withdrawing loses against anybody who went on with the record without knowing of it: the record
/// stays visible and people decide.
fn withdrawal<'a>(
    flags: &[Live<'a>],
    objections: impl FnOnce(&[&'a Change]) -> Vec<&'a Change>,
) -> (bool, Option<Conflict>) {
    let set = Value::Bool(true);
    let withdrawals: Vec<&Change> = flags.iter().filter(|l| *l.value == set).map(|l| l.change).collect();
    if withdrawals.is_empty() {
        return (false, None);
    }
    let objections = objections(&withdrawals);
    let mut dispute = conflict(WITHDRAWN_KEY, flags.iter().map(|l| (*l, Some(l.value))));
    if objections.is_empty() && flags.first().is_some_and(|winner| *winner.value == set) {
        return (true, dispute);
    }
    let mut values = dispute.take().map_or_else(
        || flags.iter().take(1).map(|l| l.side(Some(l.value.clone()))).collect(),
        |conflict| conflict.values,
    );
    for change in objections {
        if flags.iter().all(|flag| flag.change.hash != change.hash) {
            let Change { actor, time, hash, .. } = *change;
            values.push(ConflictValue { value: None, actor, time, hash });
        }
    }
    (false, Some(Conflict { field: WITHDRAWN_KEY.to_owned(), values }))
}
