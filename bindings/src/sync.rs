//! Syncing, and what it is doing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use barid_core::client::{self, Client, SyncError};
use barid_core::control::Verdict;
use barid_core::device::{Device, LockState};
use barid_core::protocol::Transfer;
use tokio::sync::watch;

use crate::error::BaridError;
use crate::observer::{StatusObserver, Subscription};
use crate::opened::Opened;

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
    /// Attachments that no relay has acknowledged.
    pub unsent_attachments: u64,
    /// Bytes of those attachments.
    pub unsent_attachment_len: u64,
    /// Bytes of attachments that this link, or else the last one, has carried to the relay.
    pub attachments_up_len: u64,
    /// Bytes of attachments that it has brought from there.
    pub attachments_down_len: u64,
    /// The relay's address, while there is a link.
    pub via: Option<String>,
    /// Whether the relay says that this device was revoked.
    pub is_revoked: bool,
    /// Whether whoever revoked it asks for it to be wiped.
    pub is_wipe_asked: bool,
    /// Whether the store is locked.
    pub is_locked: bool,
}

/// A sync that was started.
#[derive(Debug)]
struct Running {
    client: Client,
    /// The relay's address.
    via: String,
}

type CoreStatus = watch::Receiver<client::SyncStatus>;

/// The sync of one store.
#[derive(Debug, uniffi::Object)]
pub struct Sync {
    opened: Arc<Opened>,
    running: Mutex<Option<Running>>,
    /// What observers follow: the status of the client that runs, and the relay's address.
    followed: watch::Sender<Option<(CoreStatus, String)>>,
}

impl Sync {
    pub(crate) fn new(opened: Arc<Opened>) -> Self {
        Self { opened, running: Mutex::default(), followed: watch::Sender::new(None) }
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the sync and its thread; says whether there was one.
    pub(crate) fn halt(&self) -> bool {
        let mut running = self.running();
        let was_running = running.is_some();
        *running = None;
        self.followed.send_replace(None);
        was_running
    }
}

#[uniffi::export]
impl Sync {
    /// Starts syncing in the background; does nothing if it runs already.
    pub fn start(&self) -> Result<(), BaridError> {
        let mut running = self.running();
        if let Some(running) = &*running {
            running.client.resume();
            return Ok(());
        }
        let device = self.opened.device()?;
        let via = device.enrolment()?.ok_or(BaridError::NotEnrolled)?.address.url;
        let client = device.sync()?;
        self.followed.send_replace(Some((client.status(), via.clone())));
        *running = Some(Running { client, via });
        Ok(())
    }

    /// Tries now instead of waiting for the next try.
    pub fn request(&self) {
        if let Some(running) = &*self.running() {
            running.client.request();
        }
    }

    /// Ends the link until the next start; recording goes on.
    pub fn pause(&self) {
        if let Some(running) = &*self.running() {
            running.client.pause();
        }
    }

    /// Ends the sync and its thread; recording goes on.
    pub fn stop(&self) {
        self.halt();
    }

    /// The status now.
    pub fn status(&self) -> Result<SyncStatus, BaridError> {
        let device = self.opened.device()?;
        match &*self.running() {
            Some(Running { client, via }) => whole(&device, client.status().borrow().clone(), Some(via)),
            None => stopped(&device),
        }
    }

    /// Whether every record that is here now is acknowledged, and everything known at the relay is here.
    pub fn is_synced(&self) -> Result<bool, BaridError> {
        let is_up_to_date = self
            .running()
            .as_ref()
            .is_some_and(|running| running.client.status().borrow().phase == client::Phase::UpToDate);
        // What was recorded this moment the sync may not have heard of.
        Ok(is_up_to_date && self.opened.device()?.store().unsent_records()? == 0)
    }

    /// Waits until everything is exchanged and acknowledged; false if that took longer than the limit.
    pub fn wait_until_synced(&self, limit_ms: u64) -> Result<bool, BaridError> {
        let begun = Instant::now();
        loop {
            if self.is_synced()? {
                return Ok(true);
            }
            if begun.elapsed() >= Duration::from_millis(limit_ms) {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Tells the observer of each new status, on a thread of its own, until the subscription ends or the
    /// store is closed. Whether the sync runs makes no difference: it is told of that too.
    pub fn observe(&self, observer: Arc<dyn StatusObserver>) -> Result<Arc<Subscription>, BaridError> {
        let followed = self.followed.subscribe();
        let opened = Arc::clone(&self.opened);
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(thread_failed)?;
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("barid-status".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = follow(&opened, followed, &*observer) => {}
                        _ = ended => {}
                    }
                });
            })
            .map_err(thread_failed)?;
        Ok(Arc::new(Subscription::new(move || drop(end))))
    }
}

/// Tells of the status of whatever client runs, until the store is closed.
async fn follow(
    opened: &Opened,
    mut followed: watch::Receiver<Option<(CoreStatus, String)>>,
    observer: &dyn StatusObserver,
) {
    loop {
        let current = followed.borrow_and_update().clone();
        let Some((mut status, via)) = current else {
            let told = opened.device().and_then(|device| stopped(&device));
            match told {
                Ok(status) => observer.status(status),
                Err(BaridError::Closed) => return,
                Err(_) => {}
            }
            if followed.changed().await.is_err() {
                return;
            }
            continue;
        };
        loop {
            let now = status.borrow_and_update().clone();
            match opened.device().and_then(|device| whole(&device, now, Some(&via))) {
                Ok(status) => observer.status(status),
                Err(BaridError::Closed) => return,
                Err(_) => {}
            }
            tokio::select! {
                changed = status.changed() => if changed.is_err() {
                    // Its client is gone; the next one, or none, is told of.
                    if followed.changed().await.is_err() { return }
                    break;
                },
                changed = followed.changed() => {
                    if changed.is_err() { return }
                    break;
                }
            }
        }
    }
}

fn stopped(device: &Device) -> Result<SyncStatus, BaridError> {
    let unsent_records = device.store().unsent_records()?;
    let unsent_attachments = device.store().unsent_attachments()?;
    let last_success = device.last_met();
    let phase = client::Phase::Paused;
    let status = client::SyncStatus {
        phase,
        unsent_records,
        unsent_attachments,
        last_success,
        ..client::SyncStatus::default()
    };
    whole(device, status, None)
}

/// The sync's status and the device's.
fn whole(
    device: &Device,
    status: client::SyncStatus,
    via: Option<&String>,
) -> Result<SyncStatus, BaridError> {
    let is_linked = matches!(status.phase, client::Phase::Syncing | client::Phase::UpToDate);
    // Reading who belongs to the spaces costs more than a status that changes with every batch should.
    let is_wipe_asked = (status.revoked || !is_linked) && device.is_wipe_asked()?;
    Ok(SyncStatus {
        via: via.filter(|_| is_linked).cloned(),
        is_wipe_asked,
        is_locked: !matches!(device.lock_state(), LockState::Unlocked { .. }),
        ..status.into()
    })
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
            unsent_attachments: status.unsent_attachments.attachments,
            unsent_attachment_len: status.unsent_attachments.len,
            attachments_up_len: status.attachments.up_len,
            attachments_down_len: status.attachments.down_len,
            via: None,
            is_revoked: status.revoked,
            is_wipe_asked: false,
            is_locked: false,
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
