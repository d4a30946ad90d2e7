//! Telling an app of changes. The app drives; these are the only calls that go the other way.

use std::sync::Mutex;

use crate::records::RecordKey;
use crate::sync::SyncStatus;

/// Told after each commit which records changed, on a thread of the store's own.
#[uniffi::export(with_foreign)]
pub trait RecordObserver: Send + Sync {
    /// These records are new, edited, merged or withdrawn.
    fn changed(&self, keys: Vec<RecordKey>);
}

/// Told when the sync's status changes.
#[uniffi::export(with_foreign)]
pub trait StatusObserver: Send + Sync {
    /// The status now.
    fn status(&self, status: SyncStatus);
}

/// An observer's registration; it ends with [`Subscription::cancel`] or when it is dropped.
#[derive(uniffi::Object)]
pub struct Subscription(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}

impl Subscription {
    pub(crate) fn new(end: impl FnOnce() + Send + 'static) -> Self {
        Self(Mutex::new(Some(Box::new(end))))
    }
}

#[uniffi::export]
impl Subscription {
    /// Ends it; the observer is not called any more.
    pub fn cancel(&self) {
        let end = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(end) = end {
            end();
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.cancel();
    }
}
