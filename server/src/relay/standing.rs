//! What a device is in a space: a link lives for as long as that stays what it was when it opened.

use barid_core::id::DeviceId;

use crate::log::SpaceState;

/// What a device is in a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No member, or none any more.
    Stranger,
    /// It may read and write.
    Member {
        /// Batches of it that other branches of its chains have displaced. A phone that was set back to an
        /// older copy, and knows nothing of it, wrote two; it learns so as a link opens, and writes what
        /// does not stand again under another name.
        displaced: u64,
    },
    /// It gets control batches and nothing else; what it sends is taken.
    Revoked {
        /// Places up to which its late work was adopted. What was discarded before that, the relay needs
        /// again, and the device learns so as a link opens.
        adopted: usize,
    },
}

impl Standing {
    /// What a device is in a space of which this is known.
    pub fn of(device: DeviceId, space: &SpaceState) -> Self {
        let membership = &space.membership;
        if !membership.device(device).is_some_and(|device| device.is_active()) {
            Self::Stranger
        } else if membership.is_revoked(device) {
            Self::Revoked { adopted: membership.adopted(device) }
        } else {
            Self::Member { displaced: space.displaced.get(&device).copied().unwrap_or(0) }
        }
    }

    /// Whether it may read and write.
    pub fn is_member(self) -> bool {
        matches!(self, Self::Member { .. })
    }
}
