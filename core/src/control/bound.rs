//! How far a device's chains stand, and what is erased: the sums of the decisions held.
//!
//! Nothing here is ever taken out, so the sums do not depend on the order in which the decisions
//! came.

use std::collections::{BTreeMap, BTreeSet};

use super::statement::{AdoptStatement, DiscardStatement, EraseStatement, RevokeStatement};
use super::{QuarantineReason, Verdict};
use crate::batch::Lane;
use crate::id::{BatchId, DeviceId, Incarnation, RecordId};

/// A place of a chain, and the batch that is meant there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pin {
    /// The place.
    pub seq: u64,
    /// The batch.
    pub batch: BatchId,
}

/// How far one chain stands, and on which branch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bound {
    cut: Option<Pin>,
    adopted: BTreeSet<Pin>,
}

impl Bound {
    /// The whole chain stands: its device was never revoked.
    pub fn unbounded() -> Self {
        Self::default()
    }

    /// The chain stands up to a cut, and to what was adopted beyond it. What was adopted up to the
    /// cut says nothing that the cut does not.
    pub fn new(cut: Pin, adopted: impl IntoIterator<Item = Pin>) -> Self {
        let adopted = adopted.into_iter().filter(|pin| pin.seq > cut.seq).collect();
        Self { cut: Some(cut), adopted }
    }

    /// Whether the whole chain stands.
    pub fn is_unbounded(&self) -> bool {
        self.cut.is_none()
    }

    /// The last sequence number that may stand.
    pub fn seq(&self) -> u64 {
        let Some(cut) = self.cut else { return u64::MAX };
        self.adopted.last().map_or(cut.seq, |pin| pin.seq)
    }

    /// Where trust ended: the lowest cut, unless the device was never revoked.
    pub fn cut(&self) -> Option<Pin> {
        self.cut
    }

    /// What was adopted beyond the cut, by place.
    pub fn adopted(&self) -> impl DoubleEndedIterator<Item = Pin> + '_ {
        self.adopted.iter().copied()
    }

    /// What becomes of a batch at this place, as far as that can be said without the others of its
    /// chain. Where there is a bound, or a fork, [`super::branch::standing`] has the last word.
    pub fn verdict(&self, seq: u64, batch: BatchId) -> Verdict {
        if seq > self.seq() {
            return Verdict::Quarantined(QuarantineReason::Revoked);
        }
        match self.cut {
            Some(cut) if cut.seq == seq && cut.batch != batch => Verdict::Quarantined(QuarantineReason::Fork),
            _ => Verdict::Accepted,
        }
    }
}

type Chain = (Incarnation, Lane);

/// The sums of all revokes, adopts, discards and erasures of a space.
#[derive(Debug, Clone, Default)]
pub(super) struct Decisions {
    /// A device's revokes, one for each control batch: several statements of one batch are one.
    revokes: BTreeMap<DeviceId, BTreeMap<BatchId, BTreeMap<Chain, Pin>>>,
    adopted: BTreeMap<(DeviceId, Chain), BTreeSet<Pin>>,
    discarded: BTreeMap<(DeviceId, Chain), u64>,
    erased: BTreeMap<RecordId, BTreeSet<String>>,
}

impl Decisions {
    pub(super) fn revoke(&mut self, by: BatchId, statement: &RevokeStatement) {
        let cuts = self.revokes.entry(statement.device).or_default().entry(by).or_default();
        for cut in &statement.cut {
            let pin = Pin { seq: cut.seq, batch: cut.batch };
            let lowest = cuts.entry((cut.incarnation, cut.lane)).or_insert(pin);
            *lowest = pin.min(*lowest);
        }
    }

    pub(super) fn adopt(&mut self, statement: &AdoptStatement) {
        for cut in &statement.chains {
            let chain = (statement.device, (cut.incarnation, cut.lane));
            self.adopted.entry(chain).or_default().insert(Pin { seq: cut.seq, batch: cut.batch });
        }
    }

    pub(super) fn discard(&mut self, statement: &DiscardStatement) {
        for chain in &statement.chains {
            let key = (statement.device, (chain.incarnation, chain.lane));
            let highest = self.discarded.entry(key).or_default();
            *highest = chain.seq.max(*highest);
        }
    }

    pub(super) fn erase(&mut self, statement: &EraseStatement) {
        self.erased.entry(statement.record).or_default().insert(statement.kind.clone());
    }

    pub(super) fn is_revoked(&self, device: DeviceId) -> bool {
        self.revokes.contains_key(&device)
    }

    /// Of several cuts the lowest, and a chain that a revoke does not name has none of it stand.
    pub(super) fn bound(&self, device: DeviceId, incarnation: Incarnation, lane: Lane) -> Bound {
        let Some(revokes) = self.revokes.get(&device) else { return Bound::unbounded() };
        let chain = (incarnation, lane);
        let none = Pin { seq: 0, batch: BatchId::from_bytes([0; 32]) };
        let cut = revokes.values().map(|cuts| cuts.get(&chain).copied().unwrap_or(none)).min();
        let adopted = self.adopted.get(&(device, chain)).into_iter().flatten().copied();
        Bound::new(cut.unwrap_or(none), adopted)
    }

    pub(super) fn adopted(&self, device: DeviceId) -> usize {
        self.adopted.iter().filter(|((of, _), _)| *of == device).map(|(_, pins)| pins.len()).sum()
    }

    pub(super) fn discarded(&self, device: DeviceId, incarnation: Incarnation, lane: Lane) -> u64 {
        self.discarded.get(&(device, (incarnation, lane))).copied().unwrap_or_default()
    }

    pub(super) fn is_erased(&self, kind: &str, record: RecordId) -> bool {
        self.erased.get(&record).is_some_and(|kinds| kinds.contains(kind))
    }

    pub(super) fn has_erasures(&self) -> bool {
        !self.erased.is_empty()
    }

    pub(super) fn erasures(&self) -> impl Iterator<Item = (&str, RecordId)> {
        self.erased.iter().flat_map(|(record, kinds)| kinds.iter().map(|kind| (kind.as_str(), *record)))
    }
}
