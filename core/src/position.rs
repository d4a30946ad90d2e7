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
    /// Which of its batches the relay is known to have in quarantine.
    pub quarantined: QuarantineDigest,
}

/// Which of a device's batches a relay has in quarantine, in 16 bytes: the beginnings of their ids, added
/// up bit by bit. Nought says that there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QuarantineDigest([u8; 16]);

impl QuarantineDigest {
    /// The digest of these batches, in whatever order; none may be named twice.
    pub fn of(batches: impl IntoIterator<Item = BatchId>) -> Self {
        let mut digest = [0; 16];
        for batch in batches {
            digest.iter_mut().zip(batch.as_bytes()).for_each(|(sum, byte)| *sum ^= byte);
        }
        Self(digest)
    }

    /// One that was sent.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// As it is sent.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 16]
    }
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

    #[test]
    fn as_many_other_batches_in_quarantine_have_another_digest() {
        let [one, other, third] = [1, 2, 3].map(|byte| BatchId::from_bytes([byte << 4; 32]));
        assert_eq!(QuarantineDigest::of([one, other]), QuarantineDigest::of([other, one]));
        assert_ne!(QuarantineDigest::of([one, other]), QuarantineDigest::of([one, third]));
        assert!(QuarantineDigest::of([]).is_empty() && !QuarantineDigest::of([one]).is_empty());
    }
}
