//! Writes changes again under another author: the same values at the same time, on the same ground.
//!
//! A database that was rolled back or copied may not go on under its old name, or one name would
//! stand for two contents. What it recorded and nobody has seen moves to its new name: every change
//! keeps its values, its time and what it replaces; only its author, its number and the names of
//! moved ancestors differ. So the record shows what it showed before, conflicts with others
//! included; of two values of equal counters the other one may be shown first.
//!
//! Its surprise is the *twin*: a database may be rolled back to before it moved its changes, and
//! must find that they were moved already. A change of this device's with the same time, values and
//! replaced values, which the moved one does not build on, is that one's, and nothing is written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::id::{ActorId, ChangeHash};
use crate::model::Value;

use super::history::History;
use super::{CAPTURE_KEY, Change, EncodeError, MergeError, NewChange, Op, OpId, ScanError, encode, scan};

/// What stands for a change that was moved.
#[derive(Debug, Clone, PartialEq)]
pub enum Moved {
    /// This new change.
    Written {
        /// Its bytes.
        raw: Vec<u8>,
        /// What they say.
        change: Change,
    },
    /// A change that is held already says the same.
    Held(ChangeHash),
}

/// Changes cannot be written again. They are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReauthorError {
    /// One of them would break a rule of the format under its new author.
    #[error("writing a change again")]
    Encode(#[from] EncodeError),
    /// One of them does not read back.
    #[error("reading a change that was written again")]
    Scan(#[from] ScanError),
    /// One of them builds on what is not there.
    #[error("adding a change that was written again to its record")]
    Merge(#[from] MergeError),
}

/// Moves changes of one record to a new author. What `kept` holds stays as it is, and nothing of it
/// builds on what is moved. `is_own` says of an author whether it is this device, under whatever
/// name. Gives what stands for each of the moved changes, in their order; all of them, or an error.
pub fn reauthor(
    kept: &[Change],
    moved: &[Change],
    actor: ActorId,
    is_own: impl Fn(ActorId) -> bool,
) -> Result<Vec<Moved>, ReauthorError> {
    let mut moving = Moving::of(actor);
    for change in ancestors_first(kept) {
        if is_own(change.actor) {
            moving.own.push(change.hash);
        }
        moving.history.push(Arc::new(change.clone()));
    }
    let mut stands_for = BTreeMap::new();
    for change in ancestors_first(moved) {
        stands_for.insert(change.hash, moving.move_one(change)?);
    }
    Ok(moved.iter().filter_map(|change| stands_for.get(&change.hash).cloned()).collect())
}

/// A change starts after all its ancestors.
fn ancestors_first(changes: &[Change]) -> Vec<&Change> {
    let mut sorted: Vec<&Change> = changes.iter().collect();
    sorted.sort_by_key(|change| (change.start_op, change.actor, change.seq));
    sorted
}

/// One record's move.
struct Moving {
    actor: ActorId,
    /// What is kept and what was written again.
    history: History,
    /// Changes of this device that are kept: who may be somebody's twin.
    own: Vec<ChangeHash>,
    /// Twins that were found.
    found: HashSet<ChangeHash>,
    /// Which change stands for a moved one.
    changes: HashMap<ChangeHash, ChangeHash>,
    /// Which operation stands for a moved one.
    ops: HashMap<OpId, OpId>,
}

impl Moving {
    fn of(actor: ActorId) -> Self {
        Self {
            actor,
            history: History::default(),
            own: Vec::new(),
            found: HashSet::new(),
            changes: HashMap::new(),
            ops: HashMap::new(),
        }
    }

    fn move_one(&mut self, change: &Change) -> Result<Moved, ReauthorError> {
        let mut deps: Vec<_> =
            change.deps.iter().map(|dep| self.changes.get(dep).copied().unwrap_or(*dep)).collect();
        let mut ops: Vec<_> = change.ops.iter().map(|op| self.moved_op(op)).collect();
        if let Some(twin) = self.twin(change, &deps, &ops)? {
            self.note(change, &twin);
            self.found.insert(twin.hash);
            return Ok(Moved::Held(twin.hash));
        }
        // Each change of an author has the one before among its ancestors.
        let last = self.history.last_by(self.actor).cloned();
        if let Some(last) = &last {
            let ancestry = self.history.ancestry(&deps, last.last_op())?;
            if !self.history.includes(&ancestry, last) {
                deps.push(last.hash);
            }
        }
        deps.sort_unstable();
        deps.dedup();
        if change.deps.is_empty() && !deps.is_empty() {
            ops = without_capture(ops);
        }
        if let (true, Some(last)) = (ops.is_empty(), &last) {
            self.changes.insert(change.hash, last.hash);
            return Ok(Moved::Held(last.hash));
        }
        let written = NewChange {
            actor: self.actor,
            seq: last.map_or(1, |last| last.seq + 1),
            start_op: self.history.max_op(&deps) + 1,
            time: change.time,
            deps,
            ops,
        };
        let raw = encode(&written)?;
        let written = scan(&raw)?;
        self.history.check(&written)?;
        self.note(change, &written);
        self.history.push(Arc::new(written.clone()));
        Ok(Moved::Written { raw, change: written })
    }

    fn moved_op(&self, op: &Op) -> Op {
        let moved = |id: &OpId| self.ops.get(id).copied().unwrap_or(*id);
        let mut predecessors: Vec<_> = op.predecessors.iter().map(moved).collect();
        predecessors.sort_unstable();
        predecessors.dedup();
        Op { predecessors, ..op.clone() }
    }

    /// A change that says already what this one, moved, would say.
    fn twin(
        &self,
        change: &Change,
        deps: &[ChangeHash],
        ops: &[Op],
    ) -> Result<Option<Change>, ReauthorError> {
        let says_the_same =
            |twin: &&Change| twin.time == change.time && twin.ops == ops && !self.found.contains(&twin.hash);
        let candidates: Vec<&Change> =
            self.own.iter().filter_map(|hash| self.history.find(hash)).filter(says_the_same).collect();
        if candidates.is_empty() {
            return Ok(None);
        }
        // What it builds on is another one of the same words.
        let ancestry = self.history.ancestry(deps, 0)?;
        let twin = candidates.into_iter().find(|twin| !self.history.includes(&ancestry, twin));
        Ok(twin.cloned())
    }

    /// Notes what stands for a change and for each of its operations.
    fn note(&mut self, change: &Change, stands: &Change) {
        self.changes.insert(change.hash, stands.hash);
        for (counter, op) in (change.start_op..).zip(&change.ops) {
            let Some(at) = stands.ops.iter().position(|standing| standing.key == op.key) else { continue };
            let moved = OpId { counter: stands.start_op + at as u64, actor: stands.actor };
            self.ops.insert(OpId { counter, actor: change.actor }, moved);
        }
    }
}

/// Only a first change may capture: what one captured that is first no longer becomes root keys.
fn without_capture(ops: Vec<Op>) -> Vec<Op> {
    let (captures, mut ops): (Vec<Op>, Vec<Op>) = ops.into_iter().partition(|op| op.key == CAPTURE_KEY);
    for op in captures {
        let Some(Value::Map(captured)) = op.value else { continue };
        for (key, value) in captured {
            if !ops.iter().any(|op| op.key == key) {
                ops.push(Op { key, value: Some(value), predecessors: Vec::new() });
            }
        }
    }
    ops.sort_by(|a, b| a.key.cmp(&b.key));
    ops
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
