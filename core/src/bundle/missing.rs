//! What a bundle should hold and does not.

use std::collections::HashSet;

use super::{Manifest, ManifestRun};
use crate::batch::Lane;
use crate::id::{BatchId, DeviceId, Incarnation, SpaceId};

/// Batches of one chain that a bundle should hold and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRun {
    /// In which space.
    pub space: SpaceId,
    /// Whose chain it is.
    pub device: DeviceId,
    /// The database file that wrote it.
    pub incarnation: Incarnation,
    /// The lane.
    pub lane: Lane,
    /// The first one's place in the chain.
    pub from: u64,
    /// The batches from there on.
    pub batches: Vec<BatchId>,
}

/// What a manifest names and was not seen, run by run.
pub fn missing(manifest: &Manifest, seen: &HashSet<BatchId>) -> Vec<MissingRun> {
    let mut all = Vec::new();
    for (space, run) in manifest.spaces.iter().flat_map(|s| s.runs.iter().map(|run| (s.space, run))) {
        let ManifestRun { device, incarnation, lane, from, batches } = run;
        let mut begin = 0;
        for part in batches.chunk_by(|one, next| seen.contains(one) == seen.contains(next)) {
            if !seen.contains(&part[0]) {
                all.push(MissingRun {
                    space,
                    device: *device,
                    incarnation: *incarnation,
                    lane: *lane,
                    from: from + begin,
                    batches: part.to_vec(),
                });
            }
            begin += part.len() as u64;
        }
    }
    all
}
