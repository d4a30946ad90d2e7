//! Telling observers what changed, after it is committed.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::id::{RecordId, SpaceId};

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

/// What changed, one item a committed transaction. Dropping it ends it.
#[derive(Debug)]
pub struct Subscription(Receiver<Arc<[Changed]>>);

impl Subscription {
    /// Waits for the next change; an error when the store is gone.
    pub fn recv(&self) -> Result<Arc<[Changed]>, RecvError> {
        self.0.recv()
    }

    /// Waits for the next change, but no longer than this.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Arc<[Changed]>, RecvTimeoutError> {
        self.0.recv_timeout(timeout)
    }

    /// The next change, if there is one already.
    pub fn try_recv(&self) -> Result<Arc<[Changed]>, TryRecvError> {
        self.0.try_recv()
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
    channels: Vec<Sender<Arc<[Changed]>>>,
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
        let (sender, receiver) = channel();
        locked(&self.0).channels.push(sender);
        Subscription(receiver)
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
            sinks.channels.retain(|sender| sender.send(Arc::clone(&changed)).is_ok());
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
        assert_eq!(kept.try_recv().as_deref(), Ok(&[changed][..]));
        assert_eq!(kept.try_recv(), Err(TryRecvError::Empty));
        assert_eq!(locked(&observers.0).channels.len(), 1);
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
