//! Which branch of a chain stands: a pure function of the batches held and the bound.
//!
//! A chain has one writer, so it has branches only if a database was copied back or somebody forges
//! with a device's key. Every holder walks the same way: along the batches that the pins name, where
//! a pin leads; otherwise to the smaller id. A pin comes first, because whoever has seized a phone
//! can make batches until one has a small id, but none that a cut of before names. What is held and
//! not walked over is in quarantine. The one surprise: a batch that arrives late can take what stood
//! before off the branch, if it is the one pinned or the smaller one.

use std::collections::{HashMap, HashSet};

use super::QuarantineReason;
use super::bound::{Bound, Pin};
use crate::id::BatchId;

/// A batch as its chain sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The batch.
    pub id: BatchId,
    /// Its place, from 1.
    pub seq: u64,
    /// The batch that it says comes before it.
    pub prev: BatchId,
}

/// The batches of one chain that stand, from the first on without a gap. `links` are all that are
/// held of it, in any order.
pub fn standing(links: &[Link], bound: &Bound) -> Vec<BatchId> {
    let walk = Walk::new(links, bound);
    let mut branch = Vec::new();
    let mut current = Pin { seq: 0, batch: BatchId::from_bytes([0; 32]) };
    while let Some(next) = walk.after(current) {
        branch.push(next);
        current = Pin { seq: current.seq + 1, batch: next };
    }
    branch
}

/// Why a batch that is held and does not stand is in quarantine.
pub fn reason(seq: u64, bound: &Bound) -> QuarantineReason {
    if seq > bound.seq() { QuarantineReason::Revoked } else { QuarantineReason::Fork }
}

struct Walk<'a> {
    bound: &'a Bound,
    successors: HashMap<Pin, Vec<BatchId>>,
    /// For each pin whose batch is held, the most important first: it and all before it.
    trunks: Vec<HashSet<BatchId>>,
    /// What is below this place may turn out to lead to something adopted: not all between is held.
    awaited: u64,
}

impl<'a> Walk<'a> {
    fn new(links: &[Link], bound: &'a Bound) -> Self {
        let by_id: HashMap<BatchId, &Link> = links.iter().map(|link| (link.id, link)).collect();
        let mut successors: HashMap<Pin, Vec<BatchId>> = HashMap::new();
        for link in by_id.values().filter(|link| link.seq > 0) {
            successors.entry(Pin { seq: link.seq - 1, batch: link.prev }).or_default().push(link.id);
        }
        let mut walk = Self { bound, successors, trunks: Vec::new(), awaited: 0 };
        if let Some(cut) = bound.cut() {
            walk.lead_to(cut, &by_id);
        }
        // Of what was adopted the highest says the most.
        for pin in bound.adopted().rev() {
            let from = walk.lead_to(pin, &by_id);
            walk.awaited = walk.awaited.max(from);
        }
        walk
    }

    /// Adds a pin's trunk; gives the place below which it is not held, 0 if all of it is.
    fn lead_to(&mut self, pin: Pin, by_id: &HashMap<BatchId, &Link>) -> u64 {
        let mut next = by_id.get(&pin.batch).filter(|link| link.seq == pin.seq);
        let (mut trunk, mut from) = (HashSet::new(), pin.seq);
        while let Some(link) = next {
            if self.trunks.iter().any(|other| other.contains(&link.id)) {
                // Another pin leads there already, and on from there.
                from = 0;
                break;
            }
            trunk.insert(link.id);
            from = if link.seq == 1 { 0 } else { link.seq };
            // A batch that claims another place than the one before it leads nowhere.
            next = by_id.get(&link.prev).filter(|before| before.seq + 1 == link.seq);
        }
        self.trunks.push(trunk);
        from
    }

    fn after(&self, current: Pin) -> Option<BatchId> {
        let seq = current.seq + 1;
        let successors = self.successors.get(&current)?;
        if seq > self.bound.seq() {
            return None;
        }
        if let Some(cut) = self.bound.cut().filter(|cut| cut.seq == seq) {
            return successors.iter().copied().find(|id| *id == cut.batch);
        }
        let pinned = self.trunks.iter().find_map(|trunk| successors.iter().find(|id| trunk.contains(id)));
        // Beyond the cut only what was adopted stands, and what may turn out to lead there.
        let is_free = self.bound.cut().is_none_or(|cut| seq < cut.seq || seq < self.awaited);
        pinned.or_else(|| successors.iter().min().filter(|_| is_free)).copied()
    }
}

#[cfg(test)]
mod tests;
