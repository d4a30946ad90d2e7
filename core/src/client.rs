//! The websocket client: keeps a link to the relay whenever there is one to be had.
//!
//! It runs on a thread of its own with a small runtime, because what it drives (the engine) blocks.
//! Nothing in an app waits for it: records are stored before it hears of them, and all it shows is
//! an observable [`SyncStatus`].

mod enrol;
mod link;
mod status;
mod tls;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::engine::Link;
use crate::id::DeviceId;
use crate::identity::Identity;
use crate::limits::{HANDSHAKE_MS_MAX, RETRY_DELAY_MS_MAX};
use crate::protocol::Backoff;
use crate::store::{Store, Watch};

pub use enrol::EnrolError;
pub(crate) use enrol::enrol;
pub use status::{LinkLen, Phase, SyncError, SyncStatus};
pub use tls::certificate_pin;
pub use transport::RelayAddress;

/// What a client needs to know.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where the relay is.
    pub address: RelayAddress,
    /// The relay's key, pinned at enrolment.
    pub relay: DeviceId,
    /// The device's own key.
    pub identity: Arc<Identity>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Request,
    Pause,
    Resume,
    LocalChange,
}

/// Keeps the sync going until it is dropped.
pub struct Client {
    commands: mpsc::UnboundedSender<Command>,
    status: watch::Receiver<SyncStatus>,
    thread: Option<JoinHandle<()>>,
    changes: Option<Watch>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("status", &*self.status.borrow()).finish_non_exhaustive()
    }
}

impl Client {
    /// Starts syncing a store with a relay.
    pub fn start(store: Store, config: ClientConfig, clock: Clock) -> std::io::Result<Self> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (status_tx, status) = watch::channel(SyncStatus::default());
        let recorded = commands.clone();
        let changes = store.subscribe_with(move |_| {
            recorded.send(Command::LocalChange).ok();
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("barid-sync".to_owned()).spawn(move || {
            runtime.block_on(run(&store, &config, &clock, inbox, &status_tx));
        })?;
        Ok(Self { commands, status, thread: Some(thread), changes: Some(changes) })
    }

    /// The status now, and a way to wait for the next.
    pub fn status(&self) -> watch::Receiver<SyncStatus> {
        self.status.clone()
    }

    /// Tries at once instead of waiting for the next try.
    pub fn request(&self) {
        self.commands.send(Command::Request).ok();
    }

    /// Ends the link and makes no other until [`Client::resume`].
    pub fn pause(&self) {
        self.commands.send(Command::Pause).ok();
    }

    /// Syncs again.
    pub fn resume(&self) {
        self.commands.send(Command::Resume).ok();
    }
}

impl Drop for Client {
    /// Ends the link, and returns when the sync thread has let go of the store.
    fn drop(&mut self) {
        let (closed, _) = mpsc::unbounded_channel();
        drop(std::mem::replace(&mut self.commands, closed));
        // It holds a sender too: the thread ends when the last one is gone.
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Why a link's run came to an end without an error of the link.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Paused,
    Dropped,
}

async fn run(
    store: &Store,
    config: &ClientConfig,
    clock: &Clock,
    mut inbox: mpsc::UnboundedReceiver<Command>,
    status: &watch::Sender<SyncStatus>,
) {
    let mut backoff = Backoff::default();
    loop {
        status.send_modify(|status| {
            status.phase = Phase::Connecting;
            status.next_try = None;
        });
        let error = match attempt(store, config, clock, &mut inbox, status, &mut backoff).await {
            Ok(Ended::Dropped) => return,
            Ok(Ended::Paused) => {
                status.send_modify(|status| status.phase = Phase::Paused);
                if !resumed(&mut inbox).await {
                    return;
                }
                continue;
            }
            Err(error) => error,
        };
        tracing::info!(%error, "link over");
        let delay_ms = delay_ms(&error, &mut backoff);
        status.send_modify(|status| {
            status.phase = Phase::Waiting;
            status.next_try = Some(clock().plus_millis(i64::try_from(delay_ms).unwrap_or(i64::MAX)));
            status.error = Some(error);
        });
        match wait(Duration::from_millis(delay_ms), &mut inbox, store, status).await {
            Some(Ended::Dropped) => return,
            Some(Ended::Paused) => {
                status.send_modify(|status| status.phase = Phase::Paused);
                if !resumed(&mut inbox).await {
                    return;
                }
            }
            None => {}
        }
    }
}

/// How long to wait after an error. What only a person can mend is tried rarely, and still tried:
/// the person may be at the relay and not at the phone.
fn delay_ms(error: &SyncError, backoff: &mut Backoff) -> u64 {
    match error {
        SyncError::Closed(reason) if !reason.is_worth_another_try() => RETRY_DELAY_MS_MAX.unsigned_abs(),
        _ => backoff.next(random_u64()),
    }
}

async fn attempt(
    store: &Store,
    config: &ClientConfig,
    clock: &Clock,
    inbox: &mut mpsc::UnboundedReceiver<Command>,
    status: &watch::Sender<SyncStatus>,
    backoff: &mut Backoff,
) -> Result<Ended, SyncError> {
    let deadline = Duration::from_millis(HANDSHAKE_MS_MAX as u64);
    let socket = transport::connect(&config.address, deadline).await?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|_| SyncError::Storage)?;
    let link = Link::begin(store, config.identity.clone(), config.relay, nonce, clock())
        .map_err(|_| SyncError::Storage)?;
    link::drive(link, socket, store, clock, inbox, status, backoff).await
}

/// Waits for the next try; a request of the app ends the wait early.
async fn wait(
    delay: Duration,
    inbox: &mut mpsc::UnboundedReceiver<Command>,
    store: &Store,
    status: &watch::Sender<SyncStatus>,
) -> Option<Ended> {
    let sleep = tokio::time::sleep(delay);
    tokio::pin!(sleep);
    loop {
        tokio::select! {
            () = &mut sleep => return None,
            command = inbox.recv() => match command {
                None => return Some(Ended::Dropped),
                Some(Command::Pause) => return Some(Ended::Paused),
                Some(Command::Request | Command::Resume) => return None,
                Some(Command::LocalChange) => link::show_unsent(store, status),
            },
        }
    }
}

/// Waits until the app resumes; false if it dropped the client instead.
async fn resumed(inbox: &mut mpsc::UnboundedReceiver<Command>) -> bool {
    loop {
        match inbox.recv().await {
            None => return false,
            Some(Command::Resume | Command::Request) => return true,
            Some(_) => {}
        }
    }
}

fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness the delay is merely not jittered.
    getrandom::fill(&mut bytes).ok();
    u64::from_be_bytes(bytes)
}
