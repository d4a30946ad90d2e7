//! A phone of the world: the real store and engine, on a clock, randomness and files of the world's.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use barid_core::clock::Timestamp;
use barid_core::id::SpaceId;
use barid_core::identity::Identity;
use barid_core::protocol::Backoff;
use barid_core::store::{Store, StoreConfig, Subscription};

use super::clock::NodeClock;
use super::files;
use super::random::Random;

/// A phone.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) identity: Arc<Identity>,
    pub(crate) spaces: Vec<SpaceId>,
    /// Which of the organisations it is of.
    pub(crate) organisation: usize,
    pub(crate) clock: NodeClock,
    /// Where its database is; in memory if nowhere, and then its process is never killed.
    path: Option<PathBuf>,
    crash: Arc<Crash>,
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
    /// Out of reach of any network.
    pub(crate) is_away: bool,
    /// The relay's restorations that it knows of.
    pub(crate) generation: u64,
}

/// A kill at a moment inside of whatever the process is doing: whenever the store asks for the time
/// or for randomness. What is in the files then is what is left.
#[derive(Debug, Default)]
struct Crash {
    path: Option<PathBuf>,
    countdown: AtomicI64,
    has_fired: AtomicBool,
}

impl Crash {
    fn step(&self) {
        if self.countdown.load(Ordering::Relaxed) > 0 && self.countdown.fetch_sub(1, Ordering::Relaxed) == 1 {
            if let Some(path) = &self.path {
                files::copy(path, &files::copy_of(path, ".left"));
            }
            self.has_fired.store(true, Ordering::Relaxed);
        }
    }
}

impl Device {
    /// A phone whose process does not run yet.
    pub(crate) fn new(
        random: &mut Random,
        spaces: Vec<SpaceId>,
        organisation: usize,
        clock: NodeClock,
        path: Option<PathBuf>,
    ) -> Self {
        Self {
            identity: Arc::new(Identity::from_seed(random.bytes())),
            spaces,
            organisation,
            clock,
            crash: Arc::new(Crash { path: path.clone(), ..Crash::default() }),
            path,
            entropy: Arc::new(AtomicU64::new(random.next())),
            store: None,
            changes: None,
            link: None,
            backoff: Backoff::default(),
            attempt: 0,
            is_admitted: false,
            is_away: false,
            generation: 0,
        }
    }

    /// Whether its process may be killed: what it recorded is in files.
    pub(crate) fn is_in_files(&self) -> bool {
        self.path.is_some()
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
        let (clock, crash) = (self.clock.clone(), Arc::clone(&self.crash));
        let (entropy, crash_too) = (Arc::clone(&self.entropy), Arc::clone(&self.crash));
        StoreConfig {
            path: self.path.clone(),
            identity: Some(Arc::clone(&self.identity)),
            clock: Arc::new(move || {
                crash.step();
                clock.now()
            }),
            entropy: Arc::new(move |bytes| {
                crash_too.step();
                Random::new(entropy.fetch_add(1, Ordering::Relaxed).rotate_left(32)).fill(bytes);
            }),
            ..StoreConfig::in_memory()
        }
    }

    /// Lets its process be killed when it has asked for the time or for randomness so many times.
    pub(crate) fn arm(&self, countdown: i64) {
        self.crash.countdown.store(countdown, Ordering::Relaxed);
    }

    /// Whether the moment of the kill has come; nothing that was done since it has happened.
    pub(crate) fn is_dying(&self) -> bool {
        self.crash.has_fired.load(Ordering::Relaxed)
    }

    /// Kills its process, of which this was the last handle of the store. What it holds afterwards
    /// is what was in its files.
    pub(crate) fn kill(&mut self, store: Option<Store>) {
        let Some(path) = self.path.clone() else { return };
        let left = files::copy_of(&path, ".left");
        if !self.crash.has_fired.swap(false, Ordering::Relaxed) && store.is_some() {
            files::copy(&path, &left);
        }
        self.crash.countdown.store(0, Ordering::Relaxed);
        self.changes = None;
        if let Some(store) = store {
            // Closing folds the log into the file, as a killed process does not.
            drop(store);
            assert!(files::is_closed(&path), "a handle of the store outlives its process");
            files::put_back(&left, &path);
        }
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
