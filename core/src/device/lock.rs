//! The lock: whether a device shows what it holds. What it records, and an SOS, goes on either way.
//!
//! An app locks it, or its *lease* does: a device that has not met its relay for so long shows nothing
//! until it has. Time goes on by the highest time ever seen, and while the program runs by the machine's
//! steady clock too, so a clock that is set back extends nothing.
//!
//! The lock guards what an app shows and keeps no key: who has the file and its keys needs no app.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::store::{Store, StoreError};

const SETTING: &str = "lock";
/// How much time goes by before it is noted on the disk again.
const NOTE_EVERY_MS: i64 = 60_000;
const NOTE_LEN: usize = 18;

/// Whether a device shows what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// It does.
    Unlocked {
        /// When that ends, if the relay is not met before; `None` without a lease.
        lease_ends: Option<Timestamp>,
    },
    /// The app locked it.
    LockedByApp,
    /// It has not met its relay for longer than its lease.
    LeaseEnded,
}

/// Nothing is shown: the device is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the device is locked: it records, and shows nothing")]
pub struct Locked;

/// Milliseconds of a clock that nobody sets.
pub(super) type Steady = Arc<dyn Fn() -> u64 + Send + Sync>;

pub(super) fn steady() -> Steady {
    let begun = Instant::now();
    Arc::new(move || u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX))
}

pub(super) struct Lock {
    store: Store,
    clock: Clock,
    steady: Steady,
    lease_ms: Option<i64>,
    held: Mutex<Held>,
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("lease_ms", &self.lease_ms).finish_non_exhaustive()
    }
}

/// What is noted on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Note {
    by_app: bool,
    /// Whether the relay was ever met; before, the lease counts from the first opening.
    was_met: bool,
    met: Timestamp,
    /// The highest time ever seen.
    seen: Timestamp,
}

#[derive(Debug)]
struct Held {
    note: Note,
    noted: Option<Note>,
    /// The steady clock when `seen` was moved last.
    steady_ms: u64,
}

impl Lock {
    pub(super) fn open(store: Store, clock: Clock, steady: Steady) -> Result<Self, StoreError> {
        let noted = store.setting(SETTING)?.as_deref().and_then(Note::from_bytes);
        let now = clock();
        let note = noted.unwrap_or(Note { by_app: false, was_met: false, met: now, seen: now });
        let held = Mutex::new(Held { note, noted, steady_ms: steady() });
        Ok(Self { store, clock, steady, lease_ms: None, held })
    }

    pub(super) fn set_lease(&mut self, lease_ms: Option<u64>) -> Result<(), StoreError> {
        self.lease_ms = lease_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        // From the first opening on, and not from the first that stays open for a minute.
        let held = &mut *self.held();
        if self.lease_ms.is_some() && held.noted.is_none() { self.note(held) } else { Ok(()) }
    }

    pub(super) fn state(&self) -> LockState {
        let held = &mut *self.held();
        self.look(held);
        if held.note.by_app {
            return LockState::LockedByApp;
        }
        match self.lease_ms.map(|ms| held.note.met.plus_millis(ms)) {
            Some(ends) if held.note.seen >= ends => LockState::LeaseEnded,
            lease_ends => LockState::Unlocked { lease_ends },
        }
    }

    pub(super) fn set_by_app(&self, by_app: bool) -> Result<(), StoreError> {
        let held = &mut *self.held();
        let before = std::mem::replace(&mut held.note.by_app, by_app);
        let noted = if before == by_app { Ok(()) } else { self.note(held) };
        if noted.is_err() {
            held.note.by_app = before;
        }
        noted
    }

    /// When the relay was last met, if it ever was.
    pub(super) fn met(&self) -> Option<Timestamp> {
        let note = self.held().note;
        note.was_met.then_some(note.met)
    }

    /// The relay was met just now: the lease begins anew, by the clock as it is.
    pub(super) fn meet(&self) {
        let held = &mut *self.held();
        let now = (self.clock)();
        held.note = Note { by_app: held.note.by_app, was_met: true, met: now, seen: now };
        held.steady_ms = (self.steady)();
        let is_new = held.noted.is_none_or(|noted| {
            !noted.was_met || now.millis_since(noted.met).unsigned_abs() >= NOTE_EVERY_MS.unsigned_abs()
        });
        if is_new && let Err(error) = self.note(held) {
            tracing::warn!(error = &error as &dyn std::error::Error, "a lease was not noted");
        }
    }

    /// Moves the highest time seen.
    fn look(&self, held: &mut Held) {
        let steady_ms = (self.steady)();
        let gone = i64::try_from(steady_ms.saturating_sub(held.steady_ms)).unwrap_or(i64::MAX);
        held.steady_ms = steady_ms;
        held.note.seen = held.note.seen.plus_millis(gone).max((self.clock)());
        let noted = held.noted.map_or(held.note.met, |noted| noted.seen);
        let is_due = self.lease_ms.is_some() && held.note.seen.millis_since(noted) >= NOTE_EVERY_MS;
        // Reading must not fail because the disk is full.
        if is_due && let Err(error) = self.note(held) {
            tracing::warn!(error = &error as &dyn std::error::Error, "the time was not noted");
        }
    }

    fn note(&self, held: &mut Held) -> Result<(), StoreError> {
        self.store.save_setting(SETTING, &held.note.to_bytes())?;
        held.noted = Some(held.note);
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Note {
    fn to_bytes(self) -> [u8; NOTE_LEN] {
        let mut bytes = [0; NOTE_LEN];
        (bytes[0], bytes[1]) = (u8::from(self.by_app), u8::from(self.was_met));
        bytes[2..10].copy_from_slice(&self.met.as_millis().to_be_bytes());
        bytes[10..].copy_from_slice(&self.seen.as_millis().to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; NOTE_LEN] = bytes.try_into().ok()?;
        let time = |at: usize| {
            let millis = bytes[at..at + 8].try_into().map(i64::from_be_bytes).ok()?;
            Some(Timestamp::from_millis(millis))
        };
        Some(Self { by_app: bytes[0] != 0, was_met: bytes[1] != 0, met: time(2)?, seen: time(10)? })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::*;
    use crate::store::StoreConfig;

    const HOUR: i64 = 3_600_000;

    /// A device whose clock is set by hand, and whose steady clock too.
    struct World {
        store: Store,
        now: Arc<AtomicI64>,
        steady: Arc<AtomicU64>,
    }

    impl World {
        fn new() -> Self {
            Self {
                store: Store::open(StoreConfig::in_memory()).unwrap(),
                now: Arc::new(AtomicI64::new(1_790_000_000_000)),
                steady: Arc::default(),
            }
        }

        /// As after a start of the program.
        fn open(&self, lease_ms: Option<u64>) -> Lock {
            let (now, steady) = (Arc::clone(&self.now), Arc::clone(&self.steady));
            let clock: Clock = Arc::new(move || Timestamp::from_millis(now.load(Ordering::Relaxed)));
            let steady: Steady = Arc::new(move || steady.load(Ordering::Relaxed));
            let mut lock = Lock::open(self.store.clone(), clock, steady).unwrap();
            lock.set_lease(lease_ms).unwrap();
            lock
        }

        fn set(&self, by_ms: i64) {
            self.now.fetch_add(by_ms, Ordering::Relaxed);
        }
    }

    fn is_unlocked(lock: &Lock) -> bool {
        matches!(lock.state(), LockState::Unlocked { .. })
    }

    #[test]
    fn what_the_app_locked_stays_locked_over_a_restart() {
        let world = World::new();
        let lock = world.open(None);
        assert_eq!(lock.state(), LockState::Unlocked { lease_ends: None });
        lock.set_by_app(true).unwrap();
        assert_eq!(world.open(None).state(), LockState::LockedByApp);
        lock.set_by_app(false).unwrap();
        assert!(is_unlocked(&world.open(None)));
    }

    #[test]
    fn a_lease_ends_and_meeting_the_relay_begins_it_anew() {
        let world = World::new();
        let lock = world.open(Some(72 * HOUR as u64));
        world.set(71 * HOUR);
        assert!(is_unlocked(&lock));
        world.set(HOUR);
        assert_eq!(lock.state(), LockState::LeaseEnded);
        lock.set_by_app(false).unwrap();
        assert_eq!(world.open(Some(72 * HOUR as u64)).state(), LockState::LeaseEnded);
        assert_eq!(lock.met(), None);
        lock.meet();
        assert!(is_unlocked(&lock));
        let again = world.open(Some(72 * HOUR as u64));
        assert!(again.met().is_some() && is_unlocked(&again));
        assert!(is_unlocked(&world.open(None)), "without a lease there is none to end");
    }

    #[test]
    fn a_clock_set_back_extends_no_lease() {
        let world = World::new();
        let lease = Some(10 * HOUR as u64);
        let lock = world.open(lease);
        world.set(9 * HOUR);
        assert!(is_unlocked(&lock));
        // Nine hours have been seen: what is set back is not gained, running or started again.
        world.set(-9 * HOUR);
        assert!(is_unlocked(&lock));
        let lock = world.open(lease);
        world.steady.fetch_add(HOUR as u64 / 2, Ordering::Relaxed);
        assert!(is_unlocked(&lock));
        world.steady.fetch_add(HOUR as u64 / 2, Ordering::Relaxed);
        assert_eq!(lock.state(), LockState::LeaseEnded);
        assert_eq!(world.open(lease).state(), LockState::LeaseEnded);
    }

    #[test]
    fn a_clock_that_was_wrong_once_is_forgotten_when_the_relay_is_met() {
        let world = World::new();
        let lease = Some(10 * HOUR as u64);
        let lock = world.open(lease);
        world.set(1000 * HOUR);
        assert_eq!(lock.state(), LockState::LeaseEnded);
        world.set(-1000 * HOUR);
        assert_eq!(lock.state(), LockState::LeaseEnded);
        lock.meet();
        assert!(is_unlocked(&lock));
        world.set(10 * HOUR);
        assert_eq!(lock.state(), LockState::LeaseEnded, "and the lease is no longer than it was");
    }
}
