//! One space that both devices have: what each holds of it, and what each gives the other.

use super::gift::Gift;
use super::message::{chain_key, put_height};
use crate::id::SpaceId;
use crate::limits::PEER_HEIGHTS_MAX;
use crate::position::Height;

/// What this end has said, or knows, of a space, in the second part of the exchange.
#[derive(Debug)]
pub(super) struct Mine {
    /// The other device is a member: it gets everything.
    pub(super) gives: bool,
    pub(super) heights: Vec<Height>,
}

/// What the other end said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Theirs {
    pub(super) digest: Option<[u8; 16]>,
}

#[derive(Debug)]
pub(super) struct CommonSpace {
    pub(super) id: SpaceId,
    /// How messages name it.
    pub(super) place: u8,
    /// Heights of the other end, while they come.
    pub(super) coming: Vec<Height>,
    /// Whether heights of the other end may come.
    pub(super) wants_heights: bool,
    pub(super) mine: Option<Mine>,
    pub(super) theirs: Option<Theirs>,
    /// What is being given: nothing before it is known what the other end holds.
    pub(super) gift: Option<Gift>,
    /// Nothing more will be given than the gift that there is.
    pub(super) is_settled: bool,
}

impl CommonSpace {
    pub(super) fn new(id: SpaceId, place: u8) -> Self {
        Self {
            id,
            place,
            coming: Vec::new(),
            wants_heights: true,
            mine: None,
            theirs: None,
            gift: None,
            is_settled: false,
        }
    }

    /// Begins the second part.
    pub(super) fn begin_data(&mut self) {
        *self = Self { wants_heights: false, ..Self::new(self.id, self.place) };
    }

    pub(super) fn is_given(&self) -> bool {
        self.is_settled && self.gift.as_ref().is_none_or(Gift::is_given)
    }
}

/// Heights in the messages that say them, each with whether another follows.
pub(super) fn parts(heights: &[Height]) -> Vec<(Vec<Height>, bool)> {
    let count = heights.len().div_ceil(PEER_HEIGHTS_MAX).max(1);
    let part = |n: usize| {
        let from = n * PEER_HEIGHTS_MAX;
        let to = heights.len().min(from + PEER_HEIGHTS_MAX);
        (heights[from..to].to_vec(), n + 1 < count)
    };
    (0..count).map(part).collect()
}

/// Says in 16 bytes which heights are held; they ascend by chain.
pub(super) fn digest(heights: &[Height]) -> [u8; 16] {
    let mut bytes = Vec::with_capacity(heights.len() * 84);
    heights.iter().for_each(|height| put_height(&mut bytes, height));
    let mut digest = [0; 16];
    digest.copy_from_slice(&blake3::derive_key("barid 2026 heights", &bytes)[..16]);
    digest
}

/// What is told to a device that is no member: of the chains that it named itself, and no more than
/// it said itself, so that it learns nothing of what others have written.
pub(super) fn clipped(mine: &[Height], theirs: &[Height]) -> Vec<Height> {
    let held = |their: &Height| {
        let place = mine.binary_search_by_key(&chain_key(their), chain_key).ok()?;
        Some(if mine[place].seq < their.seq { mine[place] } else { *their })
    };
    theirs.iter().filter_map(held).collect()
}

/// Batches that one holds and the other does not, as far as heights say.
pub(super) fn lacking(held: &[Height], by: &[Height]) -> u64 {
    let above = |height: &Height| {
        let other = by.binary_search_by_key(&chain_key(height), chain_key);
        height.seq.saturating_sub(other.map_or(0, |place| by[place].seq))
    };
    held.iter().map(above).fold(0, u64::saturating_add)
}
