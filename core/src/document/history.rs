//! The changes of one record, and who knew of whom.
//!
//! Whether a change may join depends on the change and its ancestors alone (but for a second change
//! under a used sequence number), so replicas agree whatever arrives first.
//!
//! Ancestry is searched when it is asked for and not stored: a clock for each change would take the
//! square of the number of authors, and a hostile device can have as many as it likes. A change
//! starts after all its ancestors, so a search stops where counters fall below what it looks for; and
//! for what builds on all heads, as one author's changes do, there is no search at all.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::id::{ActorId, ChangeHash};

use super::{Change, MergeError, Op, OpId};

/// Changes in an order in which ancestors come first.
#[derive(Default)]
pub(super) struct History {
    changes: Vec<Arc<Change>>,
    by_hash: HashMap<ChangeHash, usize>,
    /// An actor's changes, whose sequence numbers are 1, 2, 3 …
    by_actor: HashMap<ActorId, Vec<usize>>,
    heads: BTreeSet<ChangeHash>,
}

/// Some changes of a history, by place.
#[derive(Debug)]
pub(super) enum Ancestry {
    /// Whoever builds on all heads builds on everything: so does nearly every change when it is made.
    All,
    Some(HashSet<usize>),
}

impl Ancestry {
    fn has(&self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(seen) => seen.contains(&index),
        }
    }
}

impl History {
    pub(super) fn holds(&self, hash: &ChangeHash) -> bool {
        self.by_hash.contains_key(hash)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn changes(&self) -> impl Iterator<Item = &Arc<Change>> {
        self.changes.iter()
    }

    pub(super) fn heads(&self) -> &BTreeSet<ChangeHash> {
        &self.heads
    }

    /// The changes of an actor, in order.
    fn by(&self, actor: ActorId) -> &[usize] {
        self.by_actor.get(&actor).map(Vec::as_slice).unwrap_or_default()
    }

    /// The last change of an actor.
    pub(super) fn last_by(&self, actor: ActorId) -> Option<&Change> {
        self.by(actor).last().map(|index| &*self.changes[*index])
    }

    /// The change of this name.
    pub(super) fn find(&self, hash: &ChangeHash) -> Option<&Change> {
        self.by_hash.get(hash).map(|index| &*self.changes[*index])
    }

    /// The operation of this name, and the change that it is part of.
    pub(super) fn op(&self, id: OpId) -> Option<(&Change, &Op)> {
        let (index, op) = self.find_op(id)?;
        Some((&self.changes[index], op))
    }

    fn find_op(&self, id: OpId) -> Option<(usize, &Op)> {
        let own = self.by(id.actor);
        // Each change of an actor has the one before among its ancestors and starts after it.
        let after = own.partition_point(|i| self.changes[*i].start_op <= id.counter);
        let index = *own.get(after.checked_sub(1)?)?;
        let change = &self.changes[index];
        let op = change.ops.get(usize::try_from(id.counter - change.start_op).ok()?)?;
        Some((index, op))
    }

    /// The highest operation counter among these changes and their ancestors.
    pub(super) fn max_op(&self, deps: &[ChangeHash]) -> u64 {
        // A change starts after all its ancestors, so only the last ones count.
        let held = deps.iter().filter_map(|dep| self.by_hash.get(dep));
        held.map(|index| self.changes[*index].last_op()).max().unwrap_or(0)
    }

    /// These changes and their ancestors, but for those that end before the counter.
    pub(super) fn ancestry(&self, deps: &[ChangeHash], down_to: u64) -> Result<Ancestry, MergeError> {
        if self.heads.iter().eq(deps) {
            return Ok(Ancestry::All);
        }
        let mut seen = HashSet::new();
        let mut next = Vec::new();
        for dep in deps {
            next.push(*self.by_hash.get(dep).ok_or(MergeError::MissingAncestor(*dep))?);
        }
        while let Some(index) = next.pop() {
            let change = &self.changes[index];
            if change.last_op() >= down_to && seen.insert(index) {
                next.extend(change.deps.iter().filter_map(|dep| self.by_hash.get(dep)));
            }
        }
        Ok(Ancestry::Some(seen))
    }

    /// Whether the ancestry was seen to have this change.
    pub(super) fn includes(&self, ancestry: &Ancestry, change: &Change) -> bool {
        self.by_hash.get(&change.hash).is_some_and(|index| ancestry.has(*index))
    }

    /// Whether a change may join. Everything that Automerge would panic on, drop or write back
    /// differently, and that the scan could not know.
    pub(super) fn check(&self, change: &Change) -> Result<(), MergeError> {
        let Change { seq, start_op, .. } = *change;
        let own = self.by(change.actor);
        let at = |seq: u64| usize::try_from(seq).ok().and_then(|i| own.get(i)).copied();
        let before = seq.checked_sub(2).and_then(at);
        let same = seq.checked_sub(1).and_then(at);
        let replaced = || change.ops.iter().flat_map(|op| &op.predecessors);
        let down_to = replaced()
            .map(|id| id.counter)
            .chain(before.into_iter().chain(same).map(|i| self.changes[i].last_op()))
            .min()
            .unwrap_or(u64::MAX);
        let ancestry = self.ancestry(&change.deps, down_to)?;

        // Not merely "greater": a leap to the end of the counter would lock everybody out.
        if start_op != self.max_op(&change.deps) + 1 {
            return Err(MergeError::WrongStart { start_op });
        }
        let follows = seq == 1 || before.is_some_and(|index| ancestry.has(index));
        if !follows || same.is_some_and(|index| ancestry.has(index)) {
            return Err(MergeError::WrongSeq { seq });
        }
        for op in &change.ops {
            let is_put_before = |id: &OpId| {
                self.find_op(*id).is_some_and(|(index, replaced)| {
                    ancestry.has(index) && replaced.key == op.key && replaced.value.is_some()
                })
            };
            if !op.predecessors.iter().all(is_put_before) {
                return Err(MergeError::UnknownPredecessor);
            }
        }
        if same.is_some() {
            return Err(MergeError::DuplicateSeq { seq });
        }
        Ok(())
    }

    /// What must hold of a change that was [checked](Self::check) once, for it to be found again.
    pub(super) fn is_in_place(&self, change: &Change) -> bool {
        change.seq == self.by(change.actor).len() as u64 + 1
            && change.deps.iter().all(|dep| self.holds(dep))
            && change.start_op == self.max_op(&change.deps) + 1
    }

    /// Adds a change that [`check`](Self::check) let pass.
    pub(super) fn push(&mut self, change: Arc<Change>) {
        for dep in &change.deps {
            self.heads.remove(dep);
        }
        let index = self.changes.len();
        self.heads.insert(change.hash);
        self.by_actor.entry(change.actor).or_default().push(index);
        self.by_hash.insert(change.hash, index);
        self.changes.push(change);
    }

    /// The changes that are neither ancestor nor descendant of any of the given ones, the latest
    /// first.
    pub(super) fn concurrent_with_all(&self, changes: &[&Change]) -> Vec<&Change> {
        let given: Vec<ChangeHash> = changes.iter().map(|change| change.hash).collect();
        let Ok(ancestors) = self.ancestry(&given, 0) else { return Vec::new() };
        let mut descendants: HashSet<ChangeHash> = given.into_iter().collect();
        let mut concurrent = Vec::new();
        for (index, change) in self.changes.iter().enumerate() {
            if change.deps.iter().any(|dep| descendants.contains(dep)) {
                descendants.insert(change.hash);
            } else if !ancestors.has(index) {
                concurrent.push(&**change);
            }
        }
        concurrent.sort_by_key(|c| std::cmp::Reverse((c.last_op(), c.actor)));
        concurrent
    }
}
