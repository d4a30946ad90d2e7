//! Syncing, and what it is doing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use barid_core::client::{self, Client, SyncError};
use barid_core::control::Verdict;
use barid_core::device::Device;
use barid_core::protocol::Transfer;

use crate::error::BaridError;
use crate::observer::{StatusObserver, Subscription};

/// What the sync is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Enum)]
pub enum Phase {
    /// Not started, or paused by the app.
    Paused,
    /// No link; the next try is at `next_try_ms`.
    Waiting,
    /// A link is being made.
    Connecting,
    /// Something is on its way.
    Syncing,
    /// Everything known here and there is exchanged and acknowledged.
    UpToDate,
}

/// How far one direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct Progress {
    /// Batches done.
    pub done: u64,
    /// Batches there are, where it is known.
    pub total: Option<u64>,
    /// Bytes done.
    pub done_len: u64,
    /// Bytes there are, where it is known.
    pub total_len: Option<u64>,
}

/// Why there is no link.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum SyncFailure {
    /// No network, or nothing listens at the relay's address. It is tried again.
    Unreachable,
    /// The relay's certificate is not the pinned one.
    Certificate,
    /// Something that is not a relay answers at its address.
    NotARelay,
    /// The link was cut. It is tried again.
    Cut,
    /// One end closed the session.
    Closed {
        /// Why.
        why: String,
    },
    /// The device's database failed.
    Storage,
}

/// The sync's status.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct SyncStatus {
    /// What it is doing.
    pub phase: Phase,
    /// Towards the relay; done means acknowledged.
    pub up: Progress,
    /// From the relay; done means stored.
    pub down: Progress,
    /// Records with changes that no relay has acknowledged yet.
    pub unsent_records: u64,
    /// Why the relay does not take something of this device's, while that is so. The device keeps it.
    pub turned_down: Option<String>,
    /// When everything was last exchanged, in milliseconds since the epoch.
    pub last_success_ms: Option<i64>,
    /// When the next link is tried, in milliseconds since the epoch.
    pub next_try_ms: Option<i64>,
    /// Why there is no link.
    pub error: Option<SyncFailure>,
}

/// The sync of one store.
#[derive(Debug, uniffi::Object)]
pub struct Sync {
    device: Arc<Device>,
    client: Mutex<Option<Client>>,
}

impl Sync {
    pub(crate) fn new(device: Arc<Device>) -> Self {
        Self { device, client: Mutex::new(None) }
    }

    fn client(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> Result<(), BaridError> {
        let mut client = self.client();
        if client.is_none() {
            *client = Some(self.device.sync()?);
        }
        Ok(())
    }
}

#[uniffi::export]
impl Sync {
    /// Starts syncing in the background; does nothing if it runs already.
    pub fn start(&self) -> Result<(), BaridError> {
        self.running()?;
        if let Some(client) = &*self.client() {
            client.resume();
        }
        Ok(())
    }

    /// Tries now instead of waiting for the next try.
    pub fn request(&self) {
        if let Some(client) = &*self.client() {
            client.request();
        }
    }

    /// Ends the link until the next start; recording goes on.
    pub fn pause(&self) {
        if let Some(client) = &*self.client() {
            client.pause();
        }
    }

    /// Ends the sync and its thread; recording goes on.
    pub fn stop(&self) {
        let client = self.client().take();
        drop(client);
    }

    /// The status now.
    pub fn status(&self) -> Result<SyncStatus, BaridError> {
        if let Some(client) = &*self.client() {
            return Ok(client.status().borrow().clone().into());
        }
        let unsent_records = self.device.store().counts()?.unsent_records;
        let stopped =
            client::SyncStatus { phase: client::Phase::Paused, unsent_records, ..Default::default() };
        Ok(stopped.into())
    }

    /// Waits until everything is exchanged and acknowledged; false if that took longer than the limit.
    pub fn wait_until_synced(&self, limit_ms: u64) -> Result<bool, BaridError> {
        let begun = Instant::now();
        loop {
            let status = self.status()?;
            if status.phase == Phase::UpToDate && status.unsent_records == 0 {
                return Ok(true);
            }
            if begun.elapsed() >= Duration::from_millis(limit_ms) {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Tells the observer of each new status, on a thread of its own, until the subscription ends.
    pub fn observe(&self, observer: Arc<dyn StatusObserver>) -> Result<Arc<Subscription>, BaridError> {
        self.running()?;
        let Some(mut status) = self.client().as_ref().map(Client::status) else {
            return Err(BaridError::NotEnrolled);
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(thread_failed)?;
        let (end, mut ended) = tokio::sync::oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("barid-status".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    loop {
                        let now = status.borrow_and_update().clone();
                        observer.status(now.into());
                        tokio::select! {
                            changed = status.changed() => if changed.is_err() { break },
                            _ = &mut ended => break,
                        }
                    }
                });
            })
            .map_err(thread_failed)?;
        Ok(Arc::new(Subscription::new(move || drop(end))))
    }
}

fn thread_failed(error: std::io::Error) -> BaridError {
    BaridError::Storage { why: format!("no thread for an observer: {error}") }
}

impl From<client::SyncStatus> for SyncStatus {
    fn from(status: client::SyncStatus) -> Self {
        Self {
            phase: match status.phase {
                client::Phase::Paused => Phase::Paused,
                client::Phase::Waiting => Phase::Waiting,
                client::Phase::Connecting => Phase::Connecting,
                client::Phase::Syncing => Phase::Syncing,
                client::Phase::UpToDate => Phase::UpToDate,
            },
            up: status.up.into(),
            down: status.down.into(),
            unsent_records: status.unsent_records,
            turned_down: match status.turned_down {
                None | Some(Verdict::Accepted) => None,
                Some(Verdict::RetryLater(reason)) => Some(reason.text().to_owned()),
                Some(Verdict::Quarantined(reason)) => Some(reason.text().to_owned()),
                Some(Verdict::Refused(reason)) => Some(reason.text().to_owned()),
            },
            last_success_ms: status.last_success.map(|time| time.as_millis()),
            next_try_ms: status.next_try.map(|time| time.as_millis()),
            error: status.error.map(SyncFailure::from),
        }
    }
}

impl From<Transfer> for Progress {
    fn from(transfer: Transfer) -> Self {
        Self {
            done: transfer.batches,
            total: transfer.batches_total,
            done_len: transfer.len,
            total_len: transfer.len_total,
        }
    }
}

impl From<SyncError> for SyncFailure {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Unreachable => Self::Unreachable,
            // Either way nobody has proved to be the relay.
            SyncError::Certificate | SyncError::Unencrypted => Self::Certificate,
            SyncError::NotARelay => Self::NotARelay,
            SyncError::Cut => Self::Cut,
            SyncError::Closed(reason) => Self::Closed { why: reason.to_string() },
            SyncError::Storage => Self::Storage,
        }
    }
}
