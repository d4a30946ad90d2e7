//! The changes of one record, and who knew of whom.
//!
//! Whether a change may join depends on the change and its ancestors alone (but for a second change
//! under a used sequence number), so replicas agree whatever arrives first.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::id::{ActorId, ChangeHash};

use super::{Change, MergeError, Op, OpId};

/// Changes in an order in which ancestors come first.
#[derive(Default)]
pub(super) struct History {
    known: Vec<Known>,
    by_hash: HashMap<ChangeHash, usize>,
    /// An actor's place in clocks.
    actors: HashMap<ActorId, usize>,
    /// By actor: its changes, whose sequence numbers are 1, 2, 3 …
    by_actor: Vec<Vec<usize>>,
    heads: BTreeSet<ChangeHash>,
}

struct Known {
    change: Change,
    /// Its author's place in clocks.
    actor: usize,
    clock: ActorClock,
}

/// By actor: the highest sequence number among a change and its ancestors.
#[derive(Clone, Default)]
pub(super) struct ActorClock(Vec<u64>);

impl ActorClock {
    fn get(&self, actor: usize) -> u64 {
        self.0.get(actor).copied().unwrap_or(0)
    }

    fn set(&mut self, actor: usize, seq: u64) {
        if self.0.len() <= actor {
            self.0.resize(actor + 1, 0);
        }
        self.0[actor] = seq;
    }

    fn join(&mut self, other: &Self) {
        for (actor, seq) in other.0.iter().enumerate() {
            if *seq > self.get(actor) {
                self.set(actor, *seq);
            }
        }
    }
}

impl History {
    pub(super) fn holds(&self, hash: &ChangeHash) -> bool {
        self.by_hash.contains_key(hash)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn changes(&self) -> impl Iterator<Item = &Change> {
        self.known.iter().map(|known| &known.change)
    }

    pub(super) fn heads(&self) -> &BTreeSet<ChangeHash> {
        &self.heads
    }

    fn find(&self, hash: &ChangeHash) -> Option<&Known> {
        self.by_hash.get(hash).map(|index| &self.known[*index])
    }

    /// The change with this hash.
    pub(super) fn change(&self, hash: &ChangeHash) -> Option<&Change> {
        self.find(hash).map(|known| &known.change)
    }

    /// How many changes of an actor are held.
    fn seqs(&self, actor: ActorId) -> u64 {
        self.actors.get(&actor).map_or(0, |index| self.by_actor[*index].len() as u64)
    }

    /// The operation of this name, and the change that it is part of.
    pub(super) fn op(&self, id: OpId) -> Option<(&Change, &Op)> {
        let own = &self.by_actor[*self.actors.get(&id.actor)?];
        // Each change of an actor has the one before among its ancestors and starts after it.
        let after = own.partition_point(|i| self.known[*i].change.start_op <= id.counter);
        let change = &self.known[*own.get(after.checked_sub(1)?)?].change;
        let op = change.ops.get(usize::try_from(id.counter - change.start_op).ok()?)?;
        Some((change, op))
    }

    /// What somebody who holds exactly these changes and their ancestors has seen.
    pub(super) fn clock_of(&self, deps: &[ChangeHash]) -> Result<ActorClock, MergeError> {
        let mut clock = ActorClock::default();
        for dep in deps {
            clock.join(&self.find(dep).ok_or(MergeError::MissingAncestor(*dep))?.clock);
        }
        Ok(clock)
    }

    /// The highest sequence number of an actor that the clock has seen.
    pub(super) fn seq_in(&self, clock: &ActorClock, actor: ActorId) -> u64 {
        self.actors.get(&actor).map_or(0, |index| clock.get(*index))
    }

    /// The highest operation counter among these changes and their ancestors.
    pub(super) fn max_op(&self, deps: &[ChangeHash]) -> u64 {
        // A change starts after all its ancestors, so only the last ones count.
        deps.iter().filter_map(|dep| self.change(dep)).map(Change::last_op).max().unwrap_or(0)
    }

    /// Whether a change may join. Everything that Automerge would panic on, drop or write back
    /// differently, and that the scan could not know.
    pub(super) fn check(&self, change: &Change) -> Result<(), MergeError> {
        let clock = self.clock_of(&change.deps)?;
        if change.seq != self.seq_in(&clock, change.actor) + 1 {
            return Err(MergeError::WrongSeq { seq: change.seq });
        }
        // Not merely "greater": a leap to the end of the counter would lock everybody out.
        if change.start_op != self.max_op(&change.deps) + 1 {
            return Err(MergeError::WrongStart { start_op: change.start_op });
        }
        for op in &change.ops {
            for predecessor in &op.predecessors {
                let replaced = self.op(*predecessor).filter(|(by, replaced)| {
                    by.seq <= self.seq_in(&clock, by.actor)
                        && replaced.key == op.key
                        && replaced.value.is_some()
                });
                if replaced.is_none() {
                    return Err(MergeError::UnknownPredecessor);
                }
            }
        }
        if self.seqs(change.actor) >= change.seq {
            return Err(MergeError::DuplicateSeq { seq: change.seq });
        }
        Ok(())
    }

    /// Adds a change that [`check`](Self::check) let pass.
    pub(super) fn push(&mut self, change: Change) -> Result<(), MergeError> {
        let mut clock = self.clock_of(&change.deps)?;
        let actors = self.actors.len();
        let actor = *self.actors.entry(change.actor).or_insert(actors);
        if actor == self.by_actor.len() {
            self.by_actor.push(Vec::new());
        }
        clock.set(actor, change.seq);
        for dep in &change.deps {
            self.heads.remove(dep);
        }
        self.heads.insert(change.hash);
        self.by_actor[actor].push(self.known.len());
        self.by_hash.insert(change.hash, self.known.len());
        self.known.push(Known { change, actor, clock });
        Ok(())
    }

    /// The changes that are neither ancestor nor descendant of any of the given ones, the latest
    /// first.
    pub(super) fn concurrent_with_all(&self, changes: &[&Change]) -> Vec<&Change> {
        // What the given ones know together, and the first of each actor that others may know:
        // one pass, because a hostile author can withdraw a record ten thousand times.
        let mut known = ActorClock::default();
        let mut first_seqs: BTreeMap<usize, u64> = BTreeMap::new();
        for change in changes.iter().filter_map(|change| self.find(&change.hash)) {
            known.join(&change.clock);
            let first = first_seqs.entry(change.actor).or_insert(u64::MAX);
            *first = change.change.seq.min(*first);
        }
        let mut concurrent: Vec<&Change> = self
            .known
            .iter()
            .filter(|k| k.change.seq > known.get(k.actor))
            .filter(|k| first_seqs.iter().all(|(actor, first)| k.clock.get(*actor) < *first))
            .map(|k| &k.change)
            .collect();
        concurrent.sort_by_key(|c| std::cmp::Reverse((c.last_op(), c.actor)));
        concurrent
    }
}
