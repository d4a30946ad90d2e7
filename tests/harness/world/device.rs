//! A phone of the world: the real store and engine, on a clock, randomness and files of the world's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use barid_core::clock::Timestamp;
use barid_core::id::SpaceId;
use barid_core::identity::Identity;
use barid_core::protocol::Backoff;
use barid_core::store::{Store, StoreConfig, Subscription};

use super::clock::NodeClock;
use super::disk::{Disk, End, Image};
use super::oracle::Promise;
use super::random::Random;
use super::template;

/// A phone's database.
pub(crate) const DATABASE: &str = "phone.db";

/// A copy of a phone's folder.
#[derive(Debug, Clone)]
pub(crate) struct SavedCopy {
    pub(crate) image: Image,
    /// What the phone had recorded by then.
    pub(crate) promise: Promise,
    /// It may hold a commit of which the phone was told that it failed.
    pub(crate) is_doubtful: bool,
}

/// A phone.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) identity: Arc<Identity>,
    pub(crate) spaces: Vec<SpaceId>,
    /// Which of the organisations it is of.
    pub(crate) organisation: usize,
    pub(crate) clock: NodeClock,
    pub(crate) disk: Disk,
    entropy: Arc<AtomicU64>,
    /// None while its process is dead.
    pub(crate) store: Option<Store>,
    changes: Option<Subscription>,
    /// Its link, by number.
    pub(crate) link: Option<u64>,
    pub(crate) backoff: Backoff,
    /// Counts attempts to link, so that an old one is known.
    pub(crate) attempt: u64,
    pub(crate) is_admitted: bool,
    /// An administrator revoked it.
    pub(crate) is_revoked: bool,
    /// It never comes back.
    pub(crate) is_lost: bool,
    pub(crate) copy: Option<SavedCopy>,
    /// Out of reach of any network.
    pub(crate) is_away: bool,
    /// The relay's restorations that it knows of.
    pub(crate) generation: u64,
}

impl Device {
    /// A phone whose process does not run yet.
    pub(crate) fn new(
        random: &mut Random,
        spaces: Vec<SpaceId>,
        organisation: usize,
        clock: NodeClock,
        disk: Disk,
    ) -> Self {
        disk.install(DATABASE, template::store());
        Self {
            identity: Arc::new(Identity::from_seed(random.bytes())),
            spaces,
            organisation,
            clock,
            disk,
            entropy: Arc::new(AtomicU64::new(random.next())),
            store: None,
            changes: None,
            link: None,
            backoff: Backoff::default(),
            attempt: 0,
            is_admitted: false,
            is_revoked: false,
            is_lost: false,
            copy: None,
            is_away: false,
            generation: 0,
        }
    }

    /// Starts its process.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        let store = Store::open(self.config()).map_err(|error| format!("opening a store: {error:?}"))?;
        for space in &self.spaces {
            store.join_space(*space).map_err(|error| format!("joining a space: {error:?}"))?;
        }
        self.changes = Some(store.subscribe());
        self.store = Some(store);
        Ok(())
    }

    fn config(&self) -> StoreConfig {
        let (clock, entropy) = (self.clock.clone(), Arc::clone(&self.entropy));
        StoreConfig {
            path: Some(self.disk.path(DATABASE)),
            identity: Some(Arc::clone(&self.identity)),
            clock: clock.source(),
            entropy: Arc::new(move |bytes| {
                Random::new(entropy.fetch_add(1, Ordering::Relaxed).rotate_left(32)).fill(bytes);
            }),
            ..StoreConfig::in_memory()
        }
    }

    /// Whether its process has died inside of a step: nothing that was done since has happened.
    pub(crate) fn is_dying(&self) -> bool {
        self.disk.is_dead()
    }

    /// Ends its process, of which this was the last handle of the store. What it holds afterwards is
    /// what was left on its disk.
    pub(crate) fn kill(&mut self, store: Option<Store>, end: End, random: &mut Random) {
        self.disk.die(end, random);
        self.changes = None;
        drop(store);
        self.disk.settle();
    }

    /// Whether anything was committed since the last time this was asked.
    pub(crate) fn has_news(&self) -> bool {
        let mut has_news = false;
        while self.changes.as_ref().is_some_and(|changes| changes.try_recv().is_ok()) {
            has_news = true;
        }
        has_news
    }

    /// A time in the future of its clock, for whoever wants to be woken.
    pub(crate) fn sleep_ms(&self, wake_at: Option<Timestamp>, at_most_ms: i64) -> i64 {
        wake_at.map_or(at_most_ms, |at| at.millis_since(self.clock.now())).clamp(0, at_most_ms)
    }
}
