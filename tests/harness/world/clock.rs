//! A node's clock: the world's time, and how wrong this node is about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use barid_core::clock::{Clock, Timestamp};

/// Ten years, which a phone without a battery may be wrong by.
pub(crate) const TEN_YEARS_MS: i64 = 10 * 365 * 24 * 3_600_000;

/// One node's clock. Nothing in a world reads another.
#[derive(Debug, Clone)]
pub(crate) struct NodeClock {
    world: Arc<AtomicI64>,
    error_ms: Arc<AtomicI64>,
}

impl NodeClock {
    /// A clock that is right, for now.
    pub(crate) fn new(world: &Arc<AtomicI64>) -> Self {
        Self { world: Arc::clone(world), error_ms: Arc::default() }
    }

    /// A clock of the same world, which is right for now.
    pub(crate) fn another(&self) -> Self {
        Self::new(&self.world)
    }

    /// What this node believes.
    pub(crate) fn now(&self) -> Timestamp {
        let world = self.world.load(Ordering::Relaxed);
        Timestamp::from_millis(world + self.error_ms.load(Ordering::Relaxed))
    }

    /// Makes it wrong by so much.
    pub(crate) fn set_error(&self, ms: i64) {
        self.error_ms.store(ms, Ordering::Relaxed);
    }

    /// As a source for those who take one.
    pub(crate) fn source(&self) -> Clock {
        let this = self.clone();
        Arc::new(move || this.now())
    }
}
