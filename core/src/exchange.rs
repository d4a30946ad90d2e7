//! Two devices that meet, driven: a [`PeerSession`] over two stores and any stream of bytes.
//!
//! [`PeerLink`] performs a session's outputs on a store, as [`crate::engine::Link`] does for a relay:
//! frames in, frames out. [`exchange`] drives one over a reader and a writer that block (a socket's two
//! halves, Bluetooth's two streams, a pair of pipes) and returns when both ends are done, when the
//! carrier breaks, when nothing is heard for too long, or when the app cancels.
//!
//! On the stream a frame is its length in two bytes and its bytes. A length of zero says that the end
//! has said everything; it proves nothing, and only lets the other end stop reading.

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(crate) mod fixture;
mod stream;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Timestamp;
use crate::id::{DeviceId, SpaceId};
use crate::identity::Identity;
use crate::protocol::{
    CloseCode, CloseReason, PeerInput, PeerOutput, PeerReport, PeerRole, PeerSession, PeerSessionConfig,
    Tally,
};
use crate::store::{CarriedOutcome, CarriedReport, IngestError, Store, StoreError};

pub use stream::exchange;

/// An exchange did not come to its end. What was taken in until then is kept, and what was given is
/// not given again; the report says how much that is.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// One end closed, or the carrier broke.
    #[error("exchanging with another device: {reason}")]
    Closed {
        /// Who closed, and why.
        reason: CloseReason,
        /// What was given and taken until then.
        report: Box<PeerReport>,
    },
    /// The carrier failed.
    #[error("exchanging with another device: the connection failed")]
    Carrier {
        /// How.
        source: std::io::Error,
        /// What was given and taken until then.
        report: Box<PeerReport>,
    },
    /// This device's store could not be read or written.
    #[error("exchanging with another device: this device's database failed")]
    Store(#[from] StoreError),
    /// What came could not be stored.
    #[error("exchanging with another device: storing what came failed")]
    Ingest(#[from] IngestError),
}

/// Ends an exchange, or the making or reading of a bundle, from another thread. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Not cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for an end, soon.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether an end was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What comes into a link from the other device, or from the app.
#[derive(Debug)]
pub enum PeerLinkInput {
    /// A frame, whole.
    Frame(Vec<u8>),
    /// The time asked for by [`PeerLink::wake_at`] has come.
    Tick,
    /// The app wants an end.
    Cancel,
    /// The carrier broke. What had come whole is still stored.
    Cut,
}

/// One exchange with another device: a session, and the store it works on.
#[derive(Debug)]
pub struct PeerLink {
    session: PeerSession,
    store: Store,
    frames: VecDeque<Vec<u8>>,
    wake_at: Option<Timestamp>,
    closed: Option<CloseReason>,
}

impl PeerLink {
    /// Begins a link; the first frames are ready to be taken at once. `ephemeral` must be random.
    pub fn begin(
        store: &Store,
        identity: Arc<Identity>,
        role: PeerRole,
        ephemeral: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, ExchangeError> {
        let spaces = store.spaces()?;
        for space in &spaces {
            store.seal_pending(*space)?;
        }
        let config = PeerSessionConfig { identity, role, ephemeral, spaces };
        let mut link = Self {
            session: PeerSession::new(config, now),
            store: store.clone(),
            frames: VecDeque::new(),
            wake_at: None,
            closed: None,
        };
        link.perform(now)?;
        Ok(link)
    }

    /// Takes one input in and performs everything that follows from it.
    pub fn handle(&mut self, input: PeerLinkInput, now: Timestamp) -> Result<(), ExchangeError> {
        let input = match input {
            PeerLinkInput::Frame(frame) => PeerInput::Frame(frame),
            PeerLinkInput::Tick => PeerInput::Tick,
            PeerLinkInput::Cancel => PeerInput::Cancel,
            PeerLinkInput::Cut => PeerInput::Cut,
        };
        self.session.handle(input, now);
        self.perform(now)
    }

    /// The next frame to send, in order.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.frames.pop_front()
    }

    /// When a [`PeerLinkInput::Tick`] is wanted.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.wake_at
    }

    /// What was given and taken so far.
    pub fn report(&self) -> PeerReport {
        self.session.report()
    }

    /// Why the link is over, once it is.
    pub fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    /// Performs outputs until none is left. If the store fails, the other end is told, and then the
    /// caller.
    fn perform(&mut self, now: Timestamp) -> Result<(), ExchangeError> {
        let mut failed = None;
        while let Some(output) = self.session.poll_output() {
            match self.perform_one(output) {
                Ok(Some(input)) => self.session.handle(input, now),
                Ok(None) => {}
                Err(error) if failed.is_none() => {
                    failed = Some(error);
                    self.session.handle(PeerInput::Fail, now);
                }
                Err(error) => tracing::warn!(%error, "an exchange that failed fails again"),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn perform_one(&mut self, output: PeerOutput) -> Result<Option<PeerInput>, ExchangeError> {
        Ok(match output {
            PeerOutput::Send(frame) => {
                self.frames.push_back(frame);
                None
            }
            PeerOutput::WantStanding { space, peer, control_only } => {
                let membership = self.store.membership(space)?;
                let mut heights = self.store.heights(space)?;
                if control_only {
                    heights.retain(|height| membership.may_control(height.device));
                }
                Some(PeerInput::Standing { space, is_member: is_member(&membership, peer), heights })
            }
            PeerOutput::Wanted { space, heights, control_only, budget_len } => {
                let (batches, exhausted) =
                    self.store.batches_above(space, &heights, control_only, budget_len)?;
                Some(PeerInput::Batches { space, batches, exhausted })
            }
            PeerOutput::Ingest { space, batches } => {
                let report = self.store.ingest_carried(space, &batches)?;
                // What builds on a branch that fell by it is written again, and goes with the rest.
                self.store.seal_pending(space)?;
                Some(PeerInput::TakenIn { tally: tally(space, &report) })
            }
            PeerOutput::Progress(_) => None,
            PeerOutput::WakeAt(at) => {
                self.wake_at = Some(at);
                None
            }
            PeerOutput::Closed(reason) => {
                self.closed = Some(reason);
                None
            }
        })
    }
}

/// Whether data of a space may go to a device: it is active, and was not revoked.
pub(crate) fn is_member(membership: &crate::control::Membership, device: DeviceId) -> bool {
    membership.device(device).is_some_and(|held| held.is_active()) && !membership.is_revoked(device)
}

/// Counts what became of batches that another device or a bundle brought.
pub(crate) fn tally(space: SpaceId, report: &CarriedReport) -> Tally {
    let mut tally = Tally::default();
    for outcome in &report.outcomes {
        match outcome {
            CarriedOutcome::Taken => tally.taken += 1,
            CarriedOutcome::Held => tally.held += 1,
            CarriedOutcome::Waiting => tally.waiting += 1,
            CarriedOutcome::Quarantined(_) => tally.quarantined += 1,
            CarriedOutcome::Refused(reason) => {
                tracing::warn!(%space, %reason, "a batch that was carried here is refused");
                tally.refused += 1;
            }
            CarriedOutcome::Missing | CarriedOutcome::RolledBack => tally.missing += 1,
        }
    }
    tally
}

/// What an exchange that has ended amounts to.
fn outcome(link: &PeerLink, broken: Option<std::io::Error>) -> Result<PeerReport, ExchangeError> {
    let report = link.report();
    if report.is_complete {
        return Ok(report);
    }
    let report = Box::new(report);
    Err(match (link.closed(), broken) {
        (Some(CloseReason::Cut) | None, Some(source)) => ExchangeError::Carrier { source, report },
        (reason, _) => {
            let reason = reason.unwrap_or(CloseReason::Here(CloseCode::Done));
            ExchangeError::Closed { reason, report }
        }
    })
}
