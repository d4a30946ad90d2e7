//! What the world knows to have happened, whatever any node believes.

use std::collections::{BTreeMap, BTreeSet};

use barid_core::id::{BatchId, ChangeHash, DeviceId, RecordId, SpaceId};

/// A record by all its names.
pub(crate) type RecordKey = (SpaceId, &'static str, RecordId);

/// What was promised to somebody.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Changes whose write returned: they are on that device, and must come everywhere.
    pub(crate) recorded: BTreeMap<RecordKey, BTreeSet<ChangeHash>>,
    /// The same by who wrote them.
    pub(crate) recorded_by: BTreeMap<DeviceId, BTreeSet<(RecordKey, ChangeHash)>>,
    /// Track chunks whose write returned, by space and patrol.
    pub(crate) tracks: BTreeMap<(SpaceId, RecordId), BTreeSet<(DeviceId, RecordId)>>,
    /// Batches that the relay was told it may acknowledge.
    pub(crate) acknowledged: BTreeSet<(SpaceId, BatchId)>,
    /// Those of them since the relay was last restored from an older copy: they are there.
    pub(crate) acknowledged_here: BTreeSet<(SpaceId, BatchId)>,
}

impl Oracle {
    /// Changes recorded.
    pub(crate) fn changes(&self) -> usize {
        self.recorded.values().map(BTreeSet::len).sum()
    }
}
