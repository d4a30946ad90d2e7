//! The append-only log of sealed batches: ground state, from which everything to its right can be
//! rebuilt.
//!
//! A batch is appended only after it was [`verify`]ed, and its offset is known to nobody before the
//! commit that assigned it is on disk. Offsets are dense from 1 within a space. The log judges
//! membership and the order of chains, and nothing else: it never decodes a change.

mod append;
pub mod audit;
pub mod bundle;
mod chain;
mod damage;
mod erasure;
pub mod quarantine;
pub mod reader;
pub mod sqlite;
pub mod trail;
pub mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use barid_core::batch::{BatchError, BatchKind, Body, BodyEntry, Header, Lane, SealError, SealedBatch};
use barid_core::clock::Timestamp;
use barid_core::control::{Membership, QuarantineReason, RefuseReason, RetryReason, StatementError, Verdict};
use barid_core::id::{BatchId, DeviceId, Incarnation, LogDigest, LogId, SpaceId};
use barid_core::migration::MigrationError;
use barid_core::position::{OwnChain, QuarantineDigest};
use futures_util::future::BoxFuture;
use tokio::sync::{oneshot, watch};

/// A batch whose signature, hashes and limits were checked.
#[derive(Debug, Clone)]
pub struct VerifiedBatch {
    sealed: SealedBatch,
    /// Of a control batch, so that the writer need not open it again.
    control: Option<Arc<Body>>,
    is_rewritten: bool,
}

impl VerifiedBatch {
    /// The batch.
    pub fn sealed(&self) -> &SealedBatch {
        &self.sealed
    }

    /// Whether something of it is erased.
    pub fn is_rewritten(&self) -> bool {
        self.is_rewritten
    }

    /// Its header.
    pub fn header(&self) -> &Header {
        self.sealed.header()
    }
}

/// Checks what can be checked of a batch without knowing any other: its signature, the hashes and
/// the limits. Costs a signature and a decompression; done before the queue, where it can run on
/// every core. What to answer is `Verdict::from` the error.
pub fn verify(sealed: SealedBatch) -> Result<VerifiedBatch, BatchError> {
    sealed.verify_signature()?;
    let body = sealed.open()?;
    let is_rewritten = body.entries.iter().any(|entry| matches!(entry, BodyEntry::Erased { .. }));
    let control = (sealed.header().kind == BatchKind::Control).then(|| Arc::new(body));
    Ok(VerifiedBatch { sealed, control, is_rewritten })
}

/// What became of a batch that was to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable, at this offset.
    Appended {
        /// Where.
        offset: u64,
    },
    /// It was durable before.
    AlreadyHeld {
        /// Where.
        offset: u64,
    },
    /// It is durable, and not in the log: now, or it was before.
    Quarantined(QuarantineReason),
    /// It cannot be judged yet; its sender keeps it and tries again.
    RetryLater(RetryReason),
    /// It will never be taken.
    Refused(RefuseReason),
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Appended { .. } | Outcome::AlreadyHeld { .. } => Self::Accepted,
            Outcome::Quarantined(reason) => Self::Quarantined(reason),
            Outcome::RetryLater(reason) => Self::RetryLater(reason),
            Outcome::Refused(reason) => Self::Refused(reason),
        }
    }
}

/// The log could not be written: nothing of the group was appended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The disk or the database failed.
    #[error("appending to the log")]
    Storage(#[source] Arc<LogError>),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

/// The log's file failed, or holds what it never should.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The directory or the file cannot be reached.
    #[error("reaching the log's file")]
    File(#[source] std::io::Error),
    /// SQLite failed.
    #[error("using the log's database")]
    Database(#[from] rusqlite::Error),
    /// Written by a newer version, or a migration failed.
    #[error("bringing the log to this version")]
    Migration(#[from] MigrationError),
    /// A row is not what was written.
    #[error("the log is damaged at offset {offset} of a space")]
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong with the batch there.
        source: BatchError,
    },
    /// A row that others refer to is not there, or not of its type.
    #[error("the log's rows contradict each other at offset {offset} of a space")]
    Contradiction {
        /// Where, if it is about one batch.
        offset: u64,
    },
    /// A batch of our own does not verify.
    #[error("verifying a control batch just sealed")]
    OwnBatch(#[source] BatchError),
    /// There is no log here yet.
    #[error("the log has no identity: it was never created")]
    NotCreated,
    /// A statement of our own was not accepted.
    #[error("the log did not take a control statement: {0:?}")]
    Statement(Outcome),
    /// A statement of our own cannot be written.
    #[error("writing a control statement")]
    OwnStatement(#[source] StatementError),
    /// A statement could not be sealed.
    #[error("sealing a control statement")]
    Seal(#[from] SealError),
    /// The thread that reads was given up.
    #[error("reading the log was given up")]
    GivenUp,
}

/// One batch of the log.
#[derive(Debug, Clone)]
pub struct LoggedBatch {
    /// Its place.
    pub offset: u64,
    /// What the log is up to there.
    pub digest: LogDigest,
    /// When this relay made it durable.
    pub received_at: Timestamp,
    /// The batch, as it was sealed.
    pub batch: SealedBatch,
}

/// A batch that was taken and is not in the log.
#[derive(Debug, Clone)]
pub struct QuarantinedBatch {
    /// Its id.
    pub id: BatchId,
    /// Who wrote it.
    pub device: DeviceId,
    /// With which database file.
    pub incarnation: Incarnation,
    /// In which lane.
    pub lane: Lane,
    /// Its place in its chain.
    pub seq: u64,
    /// Why it is not in the log.
    pub reason: QuarantineReason,
    /// When this relay made it durable.
    pub received_at: Timestamp,
    /// Its bytes.
    pub len: u64,
    /// The batch, unless it was discarded.
    pub batch: Option<SealedBatch>,
}

/// A piece of the log of one space.
#[derive(Debug, Clone)]
pub struct Page {
    /// The batches, by offset.
    pub batches: Vec<LoggedBatch>,
    /// How far was read: the last offset considered, left out or not, and what the log is up
    /// to there. `None` if there was nothing new.
    pub reached: Option<(u64, LogDigest)>,
    /// Batches whose bytes the disk has spoiled: left out, and so is what follows them in their chains.
    pub damaged: Vec<u64>,
}

/// What is known of one space.
#[derive(Debug, Clone)]
pub struct SpaceState {
    /// The newest durable offset.
    pub head: u64,
    /// Bytes of all batches up to there.
    pub len: u64,
    /// The offset up to which the newest finished backup has it; 0 without one.
    pub watermark: u64,
    /// What the control records up to there say.
    pub membership: Arc<Membership>,
    /// How many batches of a device were in the log until another branch of their chain displaced them.
    pub displaced: Arc<BTreeMap<DeviceId, u64>>,
}

impl SpaceState {
    /// A space of which nothing was read yet.
    pub fn new(space: SpaceId) -> Self {
        let membership = Arc::new(Membership::new(space));
        Self { head: 0, len: 0, watermark: 0, membership, displaced: Arc::default() }
    }
}

/// What is known of every space, as of one commit.
#[derive(Debug, Clone, Default)]
pub struct LogState {
    /// By id.
    pub spaces: BTreeMap<SpaceId, SpaceState>,
    /// The space that the organisations share, if it was founded.
    pub joint_space: Option<SpaceId>,
}

/// A batch on its way into the log.
#[derive(Debug)]
#[must_use = "a batch is acknowledged only when its outcome is known"]
pub struct Ticket(pub(crate) oneshot::Receiver<Result<Outcome, AppendError>>);

impl Ticket {
    /// Waits until the batch is durable, or it is known why it is not.
    pub async fn outcome(self) -> Result<Outcome, AppendError> {
        self.0.await.unwrap_or(Err(AppendError::Closed))
    }
}

/// Leave out what this incarnation of a device authored itself.
pub type Excluding = Option<(DeviceId, Incarnation)>;

/// A log: append, and read after an offset.
pub trait Log: Send + Sync + std::fmt::Debug {
    /// This log's id.
    fn id(&self) -> LogId;

    /// The newest durable state, and news of it: it changes after every commit, this process's or
    /// another's.
    fn state(&self) -> watch::Receiver<Arc<LogState>>;

    /// Queues a batch: waits while the queue is full. Batches are appended in the order in which
    /// they were queued, so a connection queues one before it begins with the next, and may wait
    /// for the outcomes later.
    fn append(&self, batch: VerifiedBatch) -> BoxFuture<'_, Result<Ticket, AppendError>>;

    /// Batches of a space after an offset: as many as fit into `len_max` bytes, but one at least.
    fn read_after(
        &self,
        space: SpaceId,
        after: u64,
        len_max: usize,
        excluding: Excluding,
    ) -> BoxFuture<'_, Result<Page, LogError>>;

    /// The same of the control batches alone.
    fn read_control_after(
        &self,
        space: SpaceId,
        after: u64,
        len_max: usize,
    ) -> BoxFuture<'_, Result<Page, LogError>>;

    /// The same of the control batches that others lie before.
    fn read_control_ahead(
        &self,
        space: SpaceId,
        position: u64,
        after: u64,
        len_max: usize,
    ) -> BoxFuture<'_, Result<Page, LogError>>;

    /// Which batches of a device are in quarantine in a space.
    fn quarantined_of(
        &self,
        space: SpaceId,
        device: DeviceId,
    ) -> BoxFuture<'_, Result<QuarantineDigest, LogError>>;

    /// What the log is up to an offset, if there is a batch at it.
    fn digest_at(&self, space: SpaceId, offset: u64) -> BoxFuture<'_, Result<Option<LogDigest>, LogError>>;

    /// Bytes of the batches after an offset.
    fn bytes_after(&self, space: SpaceId, offset: u64) -> BoxFuture<'_, Result<u64, LogError>>;

    /// The heights of a device's own chains in a space, of every incarnation.
    fn own_chains(&self, space: SpaceId, device: DeviceId) -> BoxFuture<'_, Result<Vec<OwnChain>, LogError>>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
