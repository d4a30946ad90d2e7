//! What the world knows to have happened, whatever any node believes.

use std::collections::{BTreeMap, BTreeSet};

use barid_core::id::{BatchId, ChainId, ChangeHash, DeviceId, RecordId, SpaceId};

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
    /// What phones sent as which place of their chains.
    pub(crate) chains: BTreeMap<(ChainId, u64), BatchId>,
    /// Records that a phone had made when a copy was taken of its database that it was set back to:
    /// they come everywhere, under whatever names of changes.
    pub(crate) loose: BTreeMap<DeviceId, BTreeSet<RecordKey>>,
    /// Phones that were set back together with their token, and cannot know it; or to what they had been told
    /// was not written. What they write at one place twice is the fork's matter.
    pub(crate) unaware: BTreeSet<DeviceId>,
    /// Whose chains these are.
    pub(crate) writers: BTreeMap<ChainId, DeviceId>,
    /// Phones that were revoked.
    pub(crate) revoked: BTreeSet<DeviceId>,
    /// Batches that an administrator adopted, and whose they are.
    pub(crate) adopted: BTreeMap<(SpaceId, BatchId), DeviceId>,
    /// Phones of whose late work an administrator discarded some, by space.
    pub(crate) discarded: BTreeSet<(SpaceId, DeviceId)>,
    /// Phones that may not hold any more what they once wrote: they are gone, or were set back.
    pub(crate) forgetful: BTreeSet<DeviceId>,
    /// Batches that the relay said it keeps in quarantine, and nobody discarded.
    pub(crate) quarantined: BTreeSet<(SpaceId, BatchId)>,
    /// Records that an administrator erased.
    pub(crate) erased: BTreeSet<RecordKey>,
    /// Batches that the relay was told it may acknowledge.
    pub(crate) acknowledged: BTreeSet<(SpaceId, BatchId)>,
    /// Those of them since the relay was last restored from an older copy: they are there.
    pub(crate) acknowledged_here: BTreeSet<(SpaceId, BatchId)>,
}

/// What a phone had recorded at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Promise {
    records: BTreeSet<RecordKey>,
    tracks: BTreeSet<(SpaceId, RecordId, RecordId)>,
}

impl Oracle {
    /// What this phone has recorded until now.
    pub(crate) fn promise(&self, device: DeviceId) -> Promise {
        let records = self.recorded_by.get(&device).into_iter().flatten().map(|(record, _)| *record);
        let tracks = self.tracks.iter().flat_map(|((space, patrol), chunks)| {
            let own = chunks.iter().filter(|(author, _)| *author == device);
            own.map(|(_, chunk)| (*space, *patrol, *chunk))
        });
        Promise { records: records.collect(), tracks: tracks.collect() }
    }

    /// A record is to be gone; whatever is written to it from now on is so too.
    pub(crate) fn erase(&mut self, record: RecordKey) {
        self.recorded.remove(&record);
        self.recorded_by.values_mut().for_each(|recorded| recorded.retain(|(key, _)| *key != record));
        for loose in self.loose.values_mut() {
            loose.remove(&record);
        }
        self.erased.insert(record);
    }

    /// A phone holds no more than this of what it recorded, and what the relay acknowledged.
    pub(crate) fn set_back(&mut self, device: DeviceId, to: &Promise) {
        for (record, hash) in self.recorded_by.remove(&device).into_iter().flatten() {
            if let Some(recorded) = self.recorded.get_mut(&record) {
                recorded.remove(&hash);
            }
        }
        // What others wrote into a record that nobody else may hold counts as it is.
        let records = to.records.difference(&self.erased).copied().collect();
        self.loose.insert(device, records);
        for ((space, patrol), chunks) in &mut self.tracks {
            chunks.retain(|(author, chunk)| {
                *author != device || to.tracks.contains(&(*space, *patrol, *chunk))
            });
        }
    }

    /// A phone may write at one place of its chain twice: of what it was told was acknowledged there, either
    /// may fall.
    pub(crate) fn make_unaware(&mut self, device: DeviceId) {
        self.unaware.insert(device);
        let is_own = |chain: &ChainId| self.writers.get(chain) == Some(&device);
        let own: BTreeSet<BatchId> =
            self.chains.iter().filter(|((chain, _), _)| is_own(chain)).map(|(_, batch)| *batch).collect();
        self.acknowledged.retain(|(_, batch)| !own.contains(batch));
        self.acknowledged_here.retain(|(_, batch)| !own.contains(batch));
    }

    /// Changes recorded.
    pub(crate) fn changes(&self) -> usize {
        self.recorded.values().map(BTreeSet::len).sum()
    }
}
