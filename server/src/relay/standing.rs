//! What a device is in a space: a link lives for as long as that stays what it was when it opened.

use barid_core::control::Membership;
use barid_core::id::DeviceId;

/// What a device is in a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No member, or none any more.
    Stranger,
    /// It may read and write.
    Member,
    /// It gets control batches and nothing else; what it sends is taken.
    Revoked {
        /// Places up to which its late work was adopted. What was discarded before that, the relay needs
        /// again, and the device learns so as a link opens.
        adopted: usize,
    },
}

impl Standing {
    /// What a device is where these are the members.
    pub fn of(device: DeviceId, membership: &Membership) -> Self {
        if !membership.device(device).is_some_and(|device| device.is_active()) {
            Self::Stranger
        } else if membership.is_revoked(device) {
            Self::Revoked { adopted: membership.adopted(device) }
        } else {
            Self::Member
        }
    }
}
