//! What a change must satisfy on its own, whoever reads or writes it.
//!
//! The reader and the writer of changes share these rules, so `put` fails and not the sync. Each
//! rule that looks pedantic closes a door: Automerge would panic on the change, would silently
//! drop a part of it, or would write it back as other bytes with another hash.

use crate::id::{ActorId, ChangeHash};
use crate::limits::{
    AUTHOR_CHANGES_MAX, AUTHOR_LATER_CHANGE_LEN_MAX, AUTHOR_LATER_CHANGE_OPS_MAX, AUTHOR_LONG_CHANGES_MAX,
    CHANGE_ACTORS_MAX, CHANGE_DEPS_MAX, CHANGE_LEN_MAX, CHANGE_OPS_MAX, COUNTER_MAX, KEY_LEN_MAX,
    OP_PREDECESSORS_MAX,
};
use crate::model::Value;
use crate::model::value::ValueError;

use super::{CAPTURE_KEY, Op, OpId, WITHDRAWN_KEY};

/// A change breaks a rule of the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Its bytes are more than [`CHANGE_LEN_MAX`]; or than [`AUTHOR_LATER_CHANGE_LEN_MAX`], and its author
    /// has changed the record often before.
    #[error(
        "a change is longer than {CHANGE_LEN_MAX} bytes, or than {AUTHOR_LATER_CHANGE_LEN_MAX} after many others"
    )]
    TooLong,
    /// It does nothing.
    #[error("a change has no operations")]
    NoOps,
    /// It has more than [`CHANGE_OPS_MAX`] operations; or than [`AUTHOR_LATER_CHANGE_OPS_MAX`], and its
    /// author has changed the record often before.
    #[error(
        "a change has more than {CHANGE_OPS_MAX} operations, or than {AUTHOR_LATER_CHANGE_OPS_MAX} after many others"
    )]
    TooManyOps,
    /// Its author has changed the record [`AUTHOR_CHANGES_MAX`] times before.
    #[error("a change follows {AUTHOR_CHANGES_MAX} others of its author")]
    TooManyByAuthor,
    /// It names more than [`CHANGE_DEPS_MAX`] direct ancestors.
    #[error("a change has more than {CHANGE_DEPS_MAX} direct ancestors")]
    TooManyDeps,
    /// Its direct ancestors are not ascending, or one is named twice.
    #[error("a change's direct ancestors are not in order")]
    DepsNotSorted,
    /// It names more than [`CHANGE_ACTORS_MAX`] actors.
    #[error("a change names more than {CHANGE_ACTORS_MAX} actors")]
    TooManyActors,
    /// A sequence number or an operation counter is 0 or does not fit into 32 bits.
    #[error("a change's sequence number or counter is out of range")]
    CounterOutOfRange,
    /// A change without ancestors does not begin its author's and the record's counters.
    #[error("a first change does not start at 1")]
    FirstNotAtOne,
    /// A change with ancestors has an operation counter that its ancestors have used up.
    #[error("a later change starts at 1")]
    LaterAtOne,
    /// A key is empty or longer than [`KEY_LEN_MAX`] bytes.
    #[error("a key is empty or longer than {KEY_LEN_MAX} bytes")]
    KeyLength,
    /// The keys are not ascending, or one appears twice.
    #[error("a change's keys are not in order")]
    KeysNotSorted,
    /// An operation has more than [`OP_PREDECESSORS_MAX`] predecessors.
    #[error("an operation has more than {OP_PREDECESSORS_MAX} predecessors")]
    TooManyPredecessors,
    /// Predecessors are not ascending, or one is named twice.
    #[error("an operation's predecessors are not in order")]
    PredecessorsNotSorted,
    /// A predecessor is not older than the change itself.
    #[error("an operation names a predecessor that cannot precede it")]
    PredecessorNotBefore,
    /// A delete without predecessors: Automerge would drop it without a trace.
    #[error("a delete names nothing that it deletes")]
    DeleteOfNothing,
    /// The capture value is deleted, is no map, or stands in a change that has ancestors.
    #[error("the capture value is not a map in a first change")]
    Capture,
    /// The withdrawn flag is deleted or is no flag.
    #[error("the withdrawn flag is not a flag")]
    Withdrawn,
    /// A value cannot be stored.
    #[error("a value cannot be stored")]
    Value(#[source] ValueError),
}

/// Checks everything that can be said of a change without its ancestors and its bytes.
pub(super) fn check(
    actor: ActorId,
    seq: u64,
    start_op: u64,
    deps: &[ChangeHash],
    ops: &[Op],
) -> Result<(), Violation> {
    check_counters(seq, start_op, deps.len(), ops.len())?;
    if !deps.is_sorted_by(|a, b| a < b) {
        return Err(Violation::DepsNotSorted);
    }
    if !ops.is_sorted_by(|a, b| a.key < b.key) {
        return Err(Violation::KeysNotSorted);
    }
    for op in ops {
        check_op(op, start_op, deps.is_empty())?;
    }
    if other_actors(actor, ops).len() >= CHANGE_ACTORS_MAX {
        return Err(Violation::TooManyActors);
    }
    Ok(())
}

fn check_counters(seq: u64, start_op: u64, deps: usize, ops: usize) -> Result<(), Violation> {
    if ops == 0 {
        return Err(Violation::NoOps);
    }
    let is_later = seq > AUTHOR_LONG_CHANGES_MAX;
    if ops > if is_later { AUTHOR_LATER_CHANGE_OPS_MAX } else { CHANGE_OPS_MAX } {
        return Err(Violation::TooManyOps);
    }
    if deps > CHANGE_DEPS_MAX {
        return Err(Violation::TooManyDeps);
    }
    let last_op = start_op.saturating_add(ops as u64 - 1);
    if seq == 0 || start_op == 0 || last_op > COUNTER_MAX {
        return Err(Violation::CounterOutOfRange);
    }
    if seq > AUTHOR_CHANGES_MAX {
        return Err(Violation::TooManyByAuthor);
    }
    match deps {
        0 if seq != 1 || start_op != 1 => Err(Violation::FirstNotAtOne),
        1.. if start_op == 1 => Err(Violation::LaterAtOne),
        _ => Ok(()),
    }
}

/// How long an author's change of this number may be, in bytes.
pub(super) fn len_max(seq: u64) -> usize {
    if seq > AUTHOR_LONG_CHANGES_MAX { AUTHOR_LATER_CHANGE_LEN_MAX } else { CHANGE_LEN_MAX }
}

fn check_op(op: &Op, start_op: u64, first: bool) -> Result<(), Violation> {
    check_key(&op.key)?;
    if op.predecessors.len() > OP_PREDECESSORS_MAX {
        return Err(Violation::TooManyPredecessors);
    }
    if !op.predecessors.is_sorted_by(|a, b| a < b) {
        return Err(Violation::PredecessorsNotSorted);
    }
    // In a first change `start_op` is 1, so it can have no predecessors at all.
    if op.predecessors.iter().any(|p| p.counter == 0 || p.counter >= start_op) {
        return Err(Violation::PredecessorNotBefore);
    }
    if op.value.is_none() && op.predecessors.is_empty() {
        return Err(Violation::DeleteOfNothing);
    }
    match (op.key.as_str(), &op.value) {
        (CAPTURE_KEY, Some(Value::Map(fields))) if first => {
            for name in fields.keys() {
                check_key(name)?;
                if is_reserved(name) {
                    return Err(Violation::Capture);
                }
            }
        }
        (CAPTURE_KEY, _) => return Err(Violation::Capture),
        (WITHDRAWN_KEY, Some(Value::Bool(_))) => {}
        (WITHDRAWN_KEY, _) => return Err(Violation::Withdrawn),
        _ => {}
    }
    op.value.as_ref().map_or(Ok(()), |value| value.check().map_err(Violation::Value))
}

fn check_key(key: &str) -> Result<(), Violation> {
    if key.is_empty() || key.len() > KEY_LEN_MAX { Err(Violation::KeyLength) } else { Ok(()) }
}

/// Whether a name is a root key with a meaning of its own and so cannot name a field.
pub(super) fn is_reserved(name: &str) -> bool {
    name == CAPTURE_KEY || name == WITHDRAWN_KEY
}

/// The actors of all predecessors but the change's own, ascending, each once.
pub(super) fn other_actors(actor: ActorId, ops: &[Op]) -> Vec<ActorId> {
    let predecessors = ops.iter().flat_map(|op| &op.predecessors);
    let mut actors: Vec<ActorId> = predecessors.map(|p: &OpId| p.actor).filter(|a| *a != actor).collect();
    actors.sort_unstable();
    actors.dedup();
    actors
}
