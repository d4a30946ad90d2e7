//! Telling observers what changed, after it is committed.

use std::sync::mpsc::{Receiver, RecvError, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
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

#[derive(Debug, Default)]
pub(super) struct Observers(Mutex<Vec<Sender<Arc<[Changed]>>>>);

impl Observers {
    pub(super) fn subscribe(&self) -> Subscription {
        let (sender, receiver) = channel();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Subscription(receiver)
    }

    pub(super) fn announce(&self, changed: Vec<Changed>) {
        if changed.is_empty() {
            return;
        }
        let changed: Arc<[Changed]> = changed.into();
        let mut senders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        senders.retain(|sender| sender.send(Arc::clone(&changed)).is_ok());
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
        assert_eq!(observers.0.lock().unwrap().len(), 1);
    }
}
