//! How far: the cursors and heights that the protocol exchanges and the store keeps.
//!
//! Protocol and store never name each other; these are the values that pass between them.

use crate::batch::Lane;
use crate::id::{BatchId, DeviceId, Incarnation, LogDigest, LogId, SpaceId};

/// The height that says of a chain: offer nothing of it.
pub const HEIGHT_STOPPED: u64 = i64::MAX as u64;

/// How far a device holds one relay's log of one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The log; a relay restored from a backup takes a new one.
    pub log: LogId,
    /// The last offset held, or passed over because its batch is the device's own.
    pub offset: u64,
    /// What the log is up to there, so that a relay whose log was rolled back is found out, whatever
    /// it has put there since.
    pub digest: LogDigest,
}

/// The height of one chain of a space, any device's: everything up to `seq` is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height {
    /// Whose chain it is.
    pub device: DeviceId,
    /// The database file that wrote it.
    pub incarnation: Incarnation,
    /// The lane.
    pub lane: Lane,
    /// The height, from 1: a chain of which nothing is held is left out.
    pub seq: u64,
    /// The batch at that height.
    pub batch: BatchId,
}

/// The height of one of a device's own chains in one space: everything up to `seq` is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnChain {
    /// The database file that wrote the chain.
    pub incarnation: Incarnation,
    /// The lane.
    pub lane: Lane,
    /// The height, from 1: a chain of which nothing is held is left out.
    pub seq: u64,
    /// The batch at that height.
    pub batch: BatchId,
}

impl OwnChain {
    /// The same of a device's chains among all.
    pub fn of(self, device: DeviceId) -> Height {
        let Self { incarnation, lane, seq, batch } = self;
        Height { device, incarnation, lane, seq, batch }
    }
}

/// Where a device stands in one space, as a link begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpacePosition {
    /// The space.
    pub space: SpaceId,
    /// How far the relay's log is held; none before the first batch.
    pub cursor: Option<Cursor>,
    /// What the relay acknowledged of this device's chains, those of earlier incarnations included.
    pub own: Vec<OwnChain>,
    /// How many of its batches the relay is known to have in quarantine.
    pub quarantined: u64,
}

/// Says in 16 bytes which heights are held: equal exactly when the heights are, in any order.
pub fn own_digest(own: &[OwnChain]) -> [u8; 16] {
    let mut sorted = own.to_vec();
    sorted.sort_unstable();
    let mut hasher = blake3::Hasher::new_derive_key("barid 2026 own heights");
    for chain in &sorted {
        hasher.update(chain.incarnation.as_bytes());
        hasher.update(&[chain.lane as u8]);
        hasher.update(&chain.seq.to_be_bytes());
        hasher.update(chain.batch.as_bytes());
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(lane: Lane, seq: u64) -> OwnChain {
        OwnChain {
            incarnation: Incarnation::from_bytes([1; 8]),
            lane,
            seq,
            batch: BatchId::from_bytes([seq as u8; 32]),
        }
    }

    #[test]
    fn a_digest_of_heights_depends_on_every_height_and_on_no_order() {
        let (urgent, normal) = (chain(Lane::Urgent, 3), chain(Lane::Normal, 9));
        assert_eq!(own_digest(&[urgent, normal]), own_digest(&[normal, urgent]));
        assert_ne!(own_digest(&[urgent, normal]), own_digest(&[urgent, chain(Lane::Normal, 10)]));
        assert_ne!(own_digest(&[urgent]), own_digest(&[]));
    }
}
