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
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{JoinHandle, ThreadId};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};
use crate::engine::Link;
use crate::id::DeviceId;
use crate::identity::Identity;
use crate::limits::{HANDSHAKE_MS_MAX, RETRY_DELAY_MS_MAX};
use crate::protocol::{Backoff, CloseCode};
use crate::store::{Store, Watch};

pub use enrol::EnrolError;
pub(crate) use enrol::enrol;
pub use status::{LinkLen, Phase, SyncError, SyncStatus};
pub use tls::certificate_pin;
pub use transport::RelayAddress;

use link::Shown;

/// How soon after something was recorded its count is shown.
const COUNT_EVERY: Duration = Duration::from_millis(200);

/// Called on the sync's thread when everything is exchanged and acknowledged.
#[derive(Clone)]
pub struct Meeting(Arc<dyn Fn() + Send + Sync>);

impl Meeting {
    /// Calls this.
    pub fn new(call: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }
}

impl Default for Meeting {
    /// Calls nothing.
    fn default() -> Self {
        Self::new(|| {})
    }
}

impl fmt::Debug for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meeting")
    }
}

/// What a client needs to know.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where the relay is.
    pub address: RelayAddress,
    /// The relay's key, pinned at enrolment.
    pub relay: DeviceId,
    /// The device's own key.
    pub identity: Arc<Identity>,
    /// When everything was last exchanged, by an earlier client.
    pub last_success: Option<Timestamp>,
    /// Hears whenever everything is exchanged.
    pub meeting: Meeting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Request,
    Pause,
    Resume,
    LocalChange,
}

/// What the app and the store tell the sync.
struct Inbox {
    queue: mpsc::UnboundedReceiver<Command>,
    /// A change was told of and not heard yet.
    told: Arc<AtomicBool>,
}

impl Inbox {
    /// The next command; none when nobody can send one any more.
    async fn recv(&mut self) -> Option<Command> {
        let command = self.queue.recv().await;
        if command == Some(Command::LocalChange) {
            self.told.store(false, Ordering::Release);
        }
        command
    }
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
        let (status_tx, status) =
            watch::channel(SyncStatus { last_success: config.last_success, ..SyncStatus::default() });
        let recorded = commands.clone();
        // What the sync stores itself is no reason to look for something to send, and one word of what
        // others recorded is enough until it is heard.
        let (syncing, told) = (Arc::new(OnceLock::<ThreadId>::new()), Arc::new(AtomicBool::new(false)));
        let mut inbox = Inbox { queue: inbox, told: Arc::clone(&told) };
        let own = Arc::clone(&syncing);
        let changes = store.subscribe_with(move |_| {
            let is_own = own.get() == Some(&std::thread::current().id());
            if !is_own && !told.swap(true, Ordering::AcqRel) {
                recorded.send(Command::LocalChange).ok();
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("barid-sync".to_owned()).spawn(move || {
            syncing.set(std::thread::current().id()).ok();
            runtime.block_on(run(&store, &config, &clock, &mut inbox, &status_tx));
            // A name that is still being looked up must not hold whoever drops the client.
            runtime.shutdown_background();
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

/// What ends a time without a link.
#[derive(Debug, PartialEq, Eq)]
enum Wake {
    Try,
    Paused,
    Dropped,
}

async fn run(
    store: &Store,
    config: &ClientConfig,
    clock: &Clock,
    inbox: &mut Inbox,
    status: &watch::Sender<SyncStatus>,
) {
    let mut backoff = Backoff::default();
    let mut wake = Wake::Try;
    // Before anything is tried: a screen that said "all sent" until then would be wrong.
    show_unsent(store, status);
    loop {
        let delay = match wake {
            Wake::Dropped => return,
            Wake::Paused => {
                status.send_modify(|status| {
                    status.phase = Phase::Paused;
                    status.next_try = None;
                });
                None
            }
            Wake::Try => {
                status.send_modify(|status| {
                    status.phase = Phase::Connecting;
                    status.next_try = None;
                });
                match attempt(store, config, clock, inbox, status, &mut backoff).await {
                    Ok(ended) => {
                        wake = ended;
                        continue;
                    }
                    Err(error) => Some(wait_after(error, clock, status, &mut backoff)),
                }
            }
        };
        wake = without_link(delay, inbox, store, status).await;
    }
}

/// Shows an error and when the next try is, and says how long that is from now.
fn wait_after(
    error: SyncError,
    clock: &Clock,
    status: &watch::Sender<SyncStatus>,
    backoff: &mut Backoff,
) -> Duration {
    tracing::info!(%error, "link over");
    let delay_ms = delay_ms(&error, backoff);
    status.send_modify(|status| {
        status.phase = Phase::Waiting;
        status.next_try = Some(clock().plus_millis(i64::try_from(delay_ms).unwrap_or(i64::MAX)));
        // That a link must be opened anew is no trouble to anybody.
        let is_anew = matches!(&error, SyncError::Closed(reason) if reason.code() == Some(CloseCode::Reopen));
        status.error = (!is_anew).then_some(error);
    });
    Duration::from_millis(delay_ms)
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
    inbox: &mut Inbox,
    status: &watch::Sender<SyncStatus>,
    backoff: &mut Backoff,
) -> Result<Wake, SyncError> {
    let deadline = Duration::from_millis(HANDSHAKE_MS_MAX as u64);
    let socket = tokio::select! {
        socket = transport::connect(&config.address, deadline) => socket?,
        ended = ended(inbox) => return Ok(ended),
    };
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|_| SyncError::Storage)?;
    let link = Link::begin(store, config.identity.clone(), config.relay, nonce, clock())
        .map_err(|_| SyncError::Storage)?;
    link::drive(link, socket, clock, inbox, Shown { status, meeting: &config.meeting, backoff }).await
}

/// Waits until the app pauses or drops the client.
async fn ended(inbox: &mut Inbox) -> Wake {
    loop {
        match inbox.recv().await {
            None => return Wake::Dropped,
            Some(Command::Pause) => return Wake::Paused,
            // What was recorded meanwhile is found when the link begins.
            Some(_) => {}
        }
    }
}

/// Waits for the next try, or with no delay for the app, and shows how much waits to be sent.
async fn without_link(
    delay: Option<Duration>,
    inbox: &mut Inbox,
    store: &Store,
    status: &watch::Sender<SyncStatus>,
) -> Wake {
    let next_try = async {
        match delay {
            Some(delay) => tokio::time::sleep(delay).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(next_try);
    // Counting reads all that is unsent: once after a burst of records, not once for each of them.
    let mut count_at = Some(Instant::now());
    loop {
        let count = async {
            match count_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut next_try => return Wake::Try,
            () = count => {
                count_at = None;
                show_unsent(store, status);
            }
            command = inbox.recv() => match command {
                None => return Wake::Dropped,
                Some(Command::Pause) => return Wake::Paused,
                Some(Command::Request | Command::Resume) => return Wake::Try,
                Some(Command::LocalChange) => {
                    count_at.get_or_insert(Instant::now() + COUNT_EVERY);
                }
            },
        }
    }
}

/// If the store cannot be read, what was shown last stays.
fn show_unsent(store: &Store, status: &watch::Sender<SyncStatus>) {
    if let Ok(unsent) = store.unsent_records() {
        status.send_modify(|status| status.unsent_records = unsent);
    }
    if let Ok(unsent) = store.unsent_attachments() {
        status.send_modify(|status| status.unsent_attachments = unsent);
    }
}

fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    // Without randomness the delay is merely not jittered.
    getrandom::fill(&mut bytes).ok();
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
