//! The lock: whether a store shows what it holds.

use barid_core::device::{self, Locked};

use crate::error::BaridError;
use crate::store::FieldStore;

/// Whether a store shows what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum LockState {
    /// It does.
    Unlocked {
        /// When that ends, if the relay is not met before, in milliseconds since the epoch.
        lease_ends_ms: Option<i64>,
    },
    /// The app locked it.
    LockedByApp,
    /// It has not met its relay for longer than its lease.
    LeaseEnded,
}

#[uniffi::export]
impl FieldStore {
    /// Whether it shows what it holds.
    pub fn lock_state(&self) -> Result<LockState, BaridError> {
        Ok(self.opened().device()?.lock_state().into())
    }

    /// Locks it: it records, and shows nothing, until it is unlocked, whenever it is opened.
    pub fn lock(&self) -> Result<(), BaridError> {
        Ok(self.opened().device()?.lock()?)
    }

    /// Unlocks what the app locked, and says whether that was all.
    pub fn unlock(&self) -> Result<LockState, BaridError> {
        Ok(self.opened().device()?.unlock()?.into())
    }
}

impl From<device::LockState> for LockState {
    fn from(state: device::LockState) -> Self {
        match state {
            device::LockState::Unlocked { lease_ends } => {
                Self::Unlocked { lease_ends_ms: lease_ends.map(|time| time.as_millis()) }
            }
            device::LockState::LockedByApp => Self::LockedByApp,
            device::LockState::LeaseEnded => Self::LeaseEnded,
        }
    }
}

impl From<Locked> for BaridError {
    fn from(_: Locked) -> Self {
        Self::Locked
    }
}
