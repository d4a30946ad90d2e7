//! Telling observers what changed, after it is committed.
//!
//! A callback is called where the commit was made, and nothing piles up before it. A subscription has
//! a queue, and the queue has a bound: whoever reads too slowly is told that everything may have
//! changed, once, instead of what did.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{
    Receiver, RecvError, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::id::{RecordId, SpaceId};
use crate::limits::{OBSERVED_CHANGES_MAX, OBSERVED_COMMITS_MAX};

/// The name under which a track chunk is announced: no kind of record may have it.
pub const TRACK: &str = "track";

/// Something whose rows are not what they were.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Changed {
    /// Its space.
    pub space: SpaceId,
    /// Its kind; [`TRACK`] for a track.
    pub kind: String,
    /// The record's id; for a track its patrol's.
    pub id: RecordId,
}

/// What a subscriber hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// What one commit changed.
    Changed(Arc<[Changed]>),
    /// More changed than was waited for: everything may be another, and is to be read again.
    Everything,
}

/// What changed, one item a committed transaction. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription {
    queue: Receiver<Arc<[Changed]>>,
    /// Something did not go into the queue since it was last looked at.
    is_behind: Arc<AtomicBool>,
}

impl Subscription {
    /// Waits for the next change; an error when the store is gone.
    pub fn recv(&self) -> Result<News, RecvError> {
        loop {
            if let Some(news) = self.catch_up() {
                return Ok(news);
            }
            if let Some(news) = news(self.queue.recv()?) {
                return Ok(news);
            }
        }
    }

    /// Waits for the next change, but no longer than this.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<News, RecvTimeoutError> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(news) = self.catch_up() {
                return Ok(news);
            }
            let left = until.saturating_duration_since(Instant::now());
            if let Some(news) = news(self.queue.recv_timeout(left)?) {
                return Ok(news);
            }
        }
    }

    /// The next change, if there is one already.
    pub fn try_recv(&self) -> Result<News, TryRecvError> {
        loop {
            if let Some(news) = self.catch_up() {
                return Ok(news);
            }
            if let Some(news) = news(self.queue.try_recv()?) {
                return Ok(news);
            }
        }
    }

    /// Everything, if this fell behind. What is queued then is older than what will be read.
    fn catch_up(&self) -> Option<News> {
        self.is_behind.swap(false, Ordering::AcqRel).then(|| {
            while self.queue.try_recv().is_ok() {}
            News::Everything
        })
    }
}

/// An empty item only wakes.
fn news(changed: Arc<[Changed]>) -> Option<News> {
    (!changed.is_empty()).then_some(News::Changed(changed))
}

/// A subscription's other end.
struct Sink {
    queue: SyncSender<Arc<[Changed]>>,
    is_behind: Arc<AtomicBool>,
}

impl Sink {
    /// False if nobody listens any more.
    fn tell(&self, changed: &Arc<[Changed]>) -> bool {
        // Its flag alone says enough then: it reads everything after it has taken the flag back.
        let fits = changed.len() <= OBSERVED_CHANGES_MAX && !self.is_behind.load(Ordering::Acquire);
        let sent = if fits { self.queue.try_send(Arc::clone(changed)) } else { self.fall_behind() };
        match sent {
            Ok(()) => true,
            Err(TrySendError::Full(_)) => !matches!(self.fall_behind(), Err(TrySendError::Disconnected(_))),
            Err(TrySendError::Disconnected(_)) => false,
        }
    }

    /// Whoever waits at an empty queue must wake; at a full one nobody waits.
    fn fall_behind(&self) -> Result<(), TrySendError<Arc<[Changed]>>> {
        self.is_behind.store(true, Ordering::Release);
        self.queue.try_send(Arc::new([]))
    }
}

/// A callback's registration. Dropping it ends it; it may be dropped inside the callback.
#[derive(Debug)]
pub struct Watch {
    observers: Weak<Mutex<Sinks>>,
    number: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(observers) = self.observers.upgrade() {
            locked(&observers).callbacks.remove(&self.number);
        }
    }
}

type Callback = Arc<dyn Fn(&[Changed]) + Send + Sync>;

#[derive(Default)]
struct Sinks {
    channels: Vec<Sink>,
    callbacks: BTreeMap<u64, Callback>,
    next: u64,
}

impl std::fmt::Debug for Sinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sinks").finish_non_exhaustive()
    }
}

fn locked(sinks: &Mutex<Sinks>) -> MutexGuard<'_, Sinks> {
    sinks.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
pub(super) struct Observers(Arc<Mutex<Sinks>>);

impl Observers {
    pub(super) fn subscribe(&self) -> Subscription {
        let (sender, queue) = sync_channel(OBSERVED_COMMITS_MAX);
        let is_behind = Arc::new(AtomicBool::new(false));
        locked(&self.0).channels.push(Sink { queue: sender, is_behind: Arc::clone(&is_behind) });
        Subscription { queue, is_behind }
    }

    pub(super) fn watch(&self, call: Callback) -> Watch {
        let mut sinks = locked(&self.0);
        let number = sinks.next;
        sinks.next += 1;
        sinks.callbacks.insert(number, call);
        Watch { observers: Arc::downgrade(&self.0), number }
    }

    pub(super) fn announce(&self, changed: Vec<Changed>) {
        if changed.is_empty() {
            return;
        }
        let changed: Arc<[Changed]> = changed.into();
        let callbacks: Vec<Callback> = {
            let mut sinks = locked(&self.0);
            sinks.channels.retain(|sink| sink.tell(&changed));
            sinks.callbacks.values().cloned().collect()
        };
        // Called without the lock: a callback may register, or end itself.
        for call in callbacks {
            call(&changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_subscription_is_forgotten() {
        let observers = Observers::default();
        let (kept, dropped) = (observers.subscribe(), observers.subscribe());
        drop(dropped);
        let space = SpaceId::from_bytes([1; 32]);
        let changed = Changed { space, kind: TRACK.to_owned(), id: RecordId::from_bytes([2; 16]) };
        observers.announce(vec![changed.clone()]);
        observers.announce(Vec::new());
        assert_eq!(kept.try_recv(), Ok(News::Changed([changed].into())));
        assert_eq!(kept.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(locked(&observers.0).channels.len(), 1);
    }

    fn changed(n: u8) -> Changed {
        let (space, id) = (SpaceId::from_bytes([1; 32]), RecordId::from_bytes([n; 16]));
        Changed { space, kind: TRACK.to_owned(), id }
    }

    #[test]
    fn who_reads_too_slowly_is_told_once_that_everything_may_have_changed_and_then_goes_on() {
        let observers = Observers::default();
        let (slow, fast) = (observers.subscribe(), observers.subscribe());
        for _ in 0..OBSERVED_COMMITS_MAX + 5 {
            observers.announce(vec![changed(1)]);
            assert_eq!(fast.try_recv(), Ok(News::Changed([changed(1)].into())));
        }
        assert_eq!(slow.recv(), Ok(News::Everything));
        assert_eq!(slow.try_recv(), Err(TryRecvError::Empty));
        observers.announce(vec![changed(2)]);
        assert_eq!(slow.recv(), Ok(News::Changed([changed(2)].into())));
        // One commit of very much is everything too, and wakes whoever waits.
        let waiting = std::thread::spawn(move || slow.recv_timeout(Duration::from_secs(60)));
        observers.announce(vec![changed(3); OBSERVED_CHANGES_MAX + 1]);
        assert_eq!(waiting.join().unwrap(), Ok(News::Everything));
        assert_eq!(fast.try_recv(), Ok(News::Everything));
        drop(observers);
        assert_eq!(fast.recv(), Err(RecvError));
    }

    #[test]
    fn a_callback_is_called_until_its_registration_is_dropped_even_by_itself() {
        let observers = Observers::default();
        let heard = Arc::new(Mutex::new((0, None::<Watch>)));
        let inside = Arc::clone(&heard);
        let watch = observers.watch(Arc::new(move |_| {
            let mut heard = inside.lock().unwrap();
            heard.0 += 1;
            heard.1 = None;
        }));
        heard.lock().unwrap().1 = Some(watch);
        let changed = Changed {
            space: SpaceId::from_bytes([1; 32]),
            kind: TRACK.to_owned(),
            id: RecordId::from_bytes([2; 16]),
        };
        observers.announce(vec![changed.clone()]);
        observers.announce(vec![changed]);
        assert_eq!(heard.lock().unwrap().0, 1);
    }
}
