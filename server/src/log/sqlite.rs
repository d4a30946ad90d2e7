//! The log in one SQLite file: one thread writes, and commits whatever has come together.
//!
//! Requests wait in a bounded queue. The thread takes all that are there, up to a bound, into one
//! transaction, and answers them after its commit: under load a hundred batches share one fsync,
//! alone a batch waits for none but its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use barid_core::clock::Clock;
use barid_core::id::{DeviceId, LogDigest, LogId, SpaceId};
use barid_core::position::{OwnChain, QuarantineDigest};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};

use super::quarantine::QuarantineLimits;
use super::reader::LogReader;
use super::writer::{Append, LogWriter};
use super::{AppendError, Excluding, Log, LogError, LogState, Outcome, Page, Ticket, VerifiedBatch};

/// Bytes that one transaction takes before it commits.
const GROUP_LEN_MAX: usize = 8 * 1024 * 1024;
/// How often the thread looks for what other processes appended.
const LOOK_AROUND: Duration = Duration::from_millis(250);

/// How a log is opened.
#[derive(Clone)]
pub struct SqliteLogOptions {
    /// Batches of one transaction, at most.
    pub group_max: usize,
    /// Batches that wait, at most.
    pub queue_max: usize,
    /// What a device may have in quarantine.
    pub quarantine: QuarantineLimits,
    /// What time it is: for when a batch was received.
    pub clock: Clock,
}

impl std::fmt::Debug for SqliteLogOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteLogOptions")
            .field("group_max", &self.group_max)
            .field("queue_max", &self.queue_max)
            .finish_non_exhaustive()
    }
}

/// Work of another kind inside the log's transaction, with its answer.
type Work = Box<dyn FnOnce(&mut Append<'_>) -> Result<(), LogError> + Send>;

#[expect(clippy::large_enum_variant, reason = "nearly every request is a batch")]
enum Request {
    Append { batch: VerifiedBatch, reply: oneshot::Sender<Result<Outcome, AppendError>> },
    Work { work: Work, reply: oneshot::Sender<Result<(), LogError>> },
    Damaged { space: SpaceId, offset: u64 },
    LookAround,
    Close { reply: oneshot::Sender<()> },
}

/// A log in a file. Clones share it; the thread ends with the last of them, or when it is closed.
#[derive(Debug, Clone)]
pub struct SqliteLog {
    reader: Arc<LogReader>,
    requests: mpsc::Sender<Request>,
    state: watch::Receiver<Arc<LogState>>,
    is_writable: Arc<AtomicBool>,
}

impl SqliteLog {
    /// Opens a log that was created. Needs a tokio runtime around it.
    pub fn open(path: &Path, options: SqliteLogOptions) -> Result<Self, LogError> {
        let writer = LogWriter::open(path, options.clock)?.with_quarantine_limits(options.quarantine);
        let reader = Arc::new(LogReader::open(path)?);
        let (publish, state) = watch::channel(Arc::new(writer.state()));
        let (requests, queue) = mpsc::channel(options.queue_max.clamp(1, 100_000));
        let group_max = options.group_max.max(1);
        let is_writable = Arc::new(AtomicBool::new(true));
        let thread = Thread { writer, publish, is_writable: Arc::clone(&is_writable), group_max };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || thread.run(queue))
            .map_err(LogError::File)?;
        let weak = requests.downgrade();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_AROUND).await;
                let Some(requests) = weak.upgrade() else { break };
                // If the queue is full, the thread is looking anyway.
                let _ = requests.try_send(Request::LookAround);
            }
        });
        Ok(Self { reader, requests, state, is_writable })
    }

    /// Does some work in the log's own order and transaction, durable when this returns.
    pub async fn transact<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Append<'_>) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let (give, take) = oneshot::channel();
        let (reply, done) = oneshot::channel();
        let work = Box::new(move |append: &mut Append<'_>| {
            let _ = give.send(work(append)?);
            Ok(())
        });
        self.requests.send(Request::Work { work, reply }).await.map_err(|_| LogError::GivenUp)?;
        done.await.unwrap_or(Err(LogError::GivenUp))?;
        take.await.map_err(|_| LogError::GivenUp)
    }

    /// The blocking reader, for threads that may block.
    pub fn reader(&self) -> &Arc<LogReader> {
        &self.reader
    }

    /// Whether the last write succeeded.
    pub fn is_writable(&self) -> bool {
        self.is_writable.load(Ordering::Relaxed)
    }

    /// Waits until everything that was queued is durable and the file is closed. Nothing is taken
    /// after that.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.requests.send(Request::Close { reply }).await.is_ok() {
            let _ = closed.await;
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&LogReader) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let reader = Arc::clone(&self.reader);
        tokio::task::spawn_blocking(move || read(&reader)).await.unwrap_or(Err(LogError::GivenUp))
    }
}

impl Log for SqliteLog {
    fn id(&self) -> LogId {
        self.reader.id()
    }

    fn state(&self) -> watch::Receiver<Arc<LogState>> {
        self.state.clone()
    }

    fn append(&self, batch: VerifiedBatch) -> BoxFuture<'_, Result<Ticket, AppendError>> {
        Box::pin(async move {
            let (reply, outcome) = oneshot::channel();
            let request = Request::Append { batch, reply };
            self.requests.send(request).await.map_err(|_| AppendError::Closed)?;
            Ok(Ticket(outcome))
        })
    }

    fn read_after(
        &self,
        space: SpaceId,
        after: u64,
        len_max: usize,
        excluding: Excluding,
    ) -> BoxFuture<'_, Result<Page, LogError>> {
        Box::pin(async move {
            let page = self.read(move |reader| reader.read_after(space, after, len_max, excluding)).await?;
            for offset in &page.damaged {
                // If the queue is full, the next reader says so again.
                let _ = self.requests.try_send(Request::Damaged { space, offset: *offset });
            }
            Ok(page)
        })
    }

    fn read_control_after(
        &self,
        space: SpaceId,
        after: u64,
        len_max: usize,
    ) -> BoxFuture<'_, Result<Page, LogError>> {
        Box::pin(self.read(move |reader| reader.read_control_after(space, after, len_max)))
    }

    fn read_control_ahead(
        &self,
        space: SpaceId,
        position: u64,
        after: u64,
        len_max: usize,
    ) -> BoxFuture<'_, Result<Page, LogError>> {
        Box::pin(self.read(move |reader| reader.read_control_ahead(space, position, after, len_max)))
    }

    fn quarantined_of(
        &self,
        space: SpaceId,
        device: DeviceId,
    ) -> BoxFuture<'_, Result<QuarantineDigest, LogError>> {
        Box::pin(self.read(move |reader| reader.quarantined_of(space, device)))
    }

    fn digest_at(&self, space: SpaceId, offset: u64) -> BoxFuture<'_, Result<Option<LogDigest>, LogError>> {
        Box::pin(self.read(move |reader| reader.digest_at(space, offset)))
    }

    fn bytes_after(&self, space: SpaceId, offset: u64) -> BoxFuture<'_, Result<u64, LogError>> {
        Box::pin(self.read(move |reader| reader.bytes_after(space, offset)))
    }

    fn own_chains(&self, space: SpaceId, device: DeviceId) -> BoxFuture<'_, Result<Vec<OwnChain>, LogError>> {
        Box::pin(self.read(move |reader| reader.own_chains(space, device)))
    }
}

/// The one thread that writes.
struct Thread {
    writer: LogWriter,
    publish: watch::Sender<Arc<LogState>>,
    is_writable: Arc<AtomicBool>,
    group_max: usize,
}

/// A batch whose sender waits.
type Waiting = (VerifiedBatch, oneshot::Sender<Result<Outcome, AppendError>>);

impl Thread {
    /// Until every sender is gone, or the log is closed.
    fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut seen_version = self.writer.data_version().ok();
        let mut closing = None;
        // A closed queue still gives what is in it.
        while let Some(first) = queue.blocking_recv() {
            let mut group = Vec::new();
            let mut len = 0;
            let mut next = Some(first);
            while let Some(request) = next {
                next = match request {
                    Request::Append { batch, reply } => {
                        len += batch.sealed().as_bytes().len();
                        group.push((batch, reply));
                        let is_full = group.len() >= self.group_max || len >= GROUP_LEN_MAX;
                        if is_full { None } else { queue.try_recv().ok() }
                    }
                    Request::Work { work, reply } => {
                        // Its failure must not take the batches before it along.
                        self.append(std::mem::take(&mut group));
                        let result = self.transact(work);
                        let _ = reply.send(result);
                        None
                    }
                    Request::Damaged { space, offset } => {
                        self.append(std::mem::take(&mut group));
                        // Its failure is traced, and the next reader says so again.
                        let _ = self.transact(|append| append.note_damage(space, offset));
                        queue.try_recv().ok()
                    }
                    Request::LookAround => queue.try_recv().ok(),
                    Request::Close { reply } => {
                        queue.close();
                        closing = Some(reply);
                        queue.try_recv().ok()
                    }
                };
            }
            self.append(group);
            self.look_around(&mut seen_version);
        }
        // Closing the last connection folds the write-ahead log in; only then is it said.
        drop(self.writer);
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    fn append(&mut self, group: Vec<Waiting>) {
        if group.is_empty() {
            return;
        }
        let outcomes = self.transact(|append| {
            group.iter().map(|(batch, _)| append.batch(batch)).collect::<Result<Vec<_>, _>>()
        });
        match outcomes {
            Ok(outcomes) => {
                for ((_, reply), outcome) in group.into_iter().zip(outcomes) {
                    // A connection that is gone will ask again.
                    let _ = reply.send(Ok(outcome));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for (_, reply) in group {
                    let _ = reply.send(Err(AppendError::Storage(Arc::clone(&error))));
                }
            }
        }
    }

    fn transact<T>(
        &mut self,
        work: impl FnOnce(&mut Append<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let result = self.writer.transact(work);
        let has_failed = matches!(result, Err(LogError::Database(_) | LogError::File(_)));
        self.is_writable.store(!has_failed, Ordering::Relaxed);
        match &result {
            Ok(_) => self.publish(),
            Err(error) => {
                tracing::error!(%error, cause = ?std::error::Error::source(error), "the log cannot be written");
            }
        }
        result
    }

    fn look_around(&mut self, seen_version: &mut Option<i64>) {
        if let Err(error) = self.writer.leave_no_traces() {
            tracing::warn!(%error, "what was erased is not yet out of the log's file");
        }
        let version = self.writer.data_version().ok();
        if version == *seen_version {
            return;
        }
        match self.writer.refresh() {
            Ok(()) => {
                *seen_version = version;
                self.publish();
            }
            Err(error) => tracing::error!(%error, "the log cannot be read"),
        }
    }

    fn publish(&self) {
        self.publish.send_replace(Arc::new(self.writer.state()));
    }
}
