//! The engine: performs a session's outputs on the store. Blocking, no sockets, no clock of its own.
//!
//! A [`Link`] is one connection's worth of work: bytes and local changes go in, frames come out.
//! Whoever owns a socket drives it; so do the tests, with no socket at all. It is the only place
//! that knows both the protocol and the store.
//!
//! Where the relay turns out to know more of this file than the file itself, the file takes a new
//! name ([`Store::begin_incarnation`]) and the link ends, to be opened anew under that name: nobody
//! is asked, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::batch::SealedBatch;
use crate::clock::Timestamp;
use crate::control::{QuarantineReason, RefuseReason, Verdict};
use crate::id::{BatchId, DeviceId, Incarnation, SpaceId};
use crate::identity::Identity;
use crate::position::OwnChain;
use crate::protocol::{
    AttachmentProgress, CloseReason, DeviceInput, DeviceOutput, DeviceSession, DeviceSessionConfig,
    SessionProgress,
};
use crate::store::{IngestError, StoppedBy, Store, StoreError, UnsentAttachments};

/// What the owner of a socket tells a link.
#[derive(Debug)]
pub enum LinkInput {
    /// A frame came in, whole.
    Frame(Vec<u8>),
    /// Several frames came in, in this order. What they acknowledge is written down with one commit.
    Frames(Vec<Vec<u8>>),
    /// Something was recorded on this device.
    LocalChange,
    /// The time asked for by [`Link::wake_at`] has come.
    Tick,
    /// The socket is broken. What had come whole is still stored.
    Cut,
}

/// Performing a session's output failed: the device's own database is at fault, never the peer.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The store could not be read or written.
    #[error("syncing: the device's database failed")]
    Store(#[from] StoreError),
    /// What the relay sent could not be stored.
    #[error("syncing: storing what the relay sent failed")]
    Ingest(#[from] IngestError),
}

/// One link to a relay: a session, and the store it works on.
#[derive(Debug)]
pub struct Link {
    session: DeviceSession,
    store: Store,
    frames: VecDeque<Vec<u8>>,
    wake_at: Option<Timestamp>,
    progress: SessionProgress,
    up_to_date: bool,
    unsent: Unsent,
    turned_down: Option<Verdict>,
    revoked: bool,
    /// What was taken in may have left something to be sent: what others of this device build on, when
    /// that goes into quarantine.
    has_more: bool,
    /// Who belongs to a space is not what it was.
    members_changed: bool,
    closed: Option<CloseReason>,
    /// What the relay holds, and is not written down yet. If that never happens, it is sent again and
    /// acknowledged again.
    acknowledged: Vec<BatchId>,
    /// What the file was called when the link began.
    incarnation: Incarnation,
    /// What the relay holds of this device's chains, where that is not what was thought.
    own_at_relay: BTreeMap<SpaceId, Vec<OwnChain>>,
    /// Spaces that the relay does not let this device into.
    left: BTreeSet<SpaceId>,
    /// What the link began with is no longer so.
    is_outdated: bool,
    attachments: MovingAttachments,
}

/// How far a link is with the attachments.
#[derive(Debug, Default)]
struct MovingAttachments {
    /// What was named to the session is of this version of the store's.
    version: u64,
    progress: AttachmentProgress,
    unsent: UnsentAttachments,
    /// Nothing happened to them since they were counted.
    is_counted: bool,
}

/// How many records the relay does not hold, counted now and then: counting reads all of them.
#[derive(Debug)]
struct Unsent {
    records: u64,
    counted: Timestamp,
}

/// Milliseconds between two counts while more is recorded or acknowledged.
const COUNT_MS: i64 = 200;

impl Link {
    /// Begins a link; the first frames are ready to be taken at once. `nonce` must be fresh.
    pub fn begin(
        store: &Store,
        identity: Arc<Identity>,
        relay: DeviceId,
        nonce: [u8; 16],
        now: Timestamp,
    ) -> Result<Self, LinkError> {
        let unsent = store.unsent_records()?;
        let incarnation = store.incarnation();
        let config =
            DeviceSessionConfig { identity, relay, nonce, incarnation, spaces: store.positions()?, unsent };
        let mut link = Self {
            session: DeviceSession::new(config, now),
            store: store.clone(),
            frames: VecDeque::new(),
            wake_at: None,
            progress: SessionProgress::default(),
            up_to_date: false,
            unsent: Unsent { records: unsent, counted: now },
            turned_down: None,
            revoked: false,
            has_more: false,
            members_changed: false,
            closed: None,
            acknowledged: Vec::new(),
            incarnation,
            own_at_relay: BTreeMap::new(),
            left: BTreeSet::new(),
            is_outdated: false,
            attachments: MovingAttachments::default(),
        };
        link.perform(now)?;
        Ok(link)
    }

    /// Takes one input in and performs everything that follows from it.
    pub fn handle(&mut self, input: LinkInput, now: Timestamp) -> Result<(), LinkError> {
        let input = match input {
            LinkInput::Frame(bytes) => DeviceInput::Frame(bytes),
            LinkInput::Frames(mut frames) => {
                let Some(last) = frames.pop() else { return Ok(()) };
                for bytes in frames {
                    self.session.handle(DeviceInput::Frame(bytes), now);
                    self.perform_outputs(now)?;
                }
                DeviceInput::Frame(last)
            }
            LinkInput::LocalChange => {
                self.count(now)?;
                DeviceInput::LocalChange { unsent: self.unsent.records }
            }
            LinkInput::Tick => DeviceInput::Tick,
            LinkInput::Cut => DeviceInput::Cut,
        };
        self.session.handle(input, now);
        self.perform(now)
    }

    /// The next frame to send, in order.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.frames.pop_front()
    }

    /// When a [`LinkInput::Tick`] is wanted.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.wake_at
    }

    /// How far both directions have come.
    pub fn progress(&self) -> SessionProgress {
        self.progress
    }

    /// Whether everything known here and there has been exchanged and acknowledged.
    pub fn is_up_to_date(&self) -> bool {
        self.up_to_date
    }

    /// Records with changes that the relay has not acknowledged: exact when up to date, and a moment
    /// old while much is going on.
    pub fn unsent_records(&self) -> u64 {
        self.unsent.records
    }

    /// How far attachments are on this link.
    pub fn attachment_progress(&self) -> AttachmentProgress {
        self.attachments.progress
    }

    /// What is attached here and not at the relay.
    pub fn unsent_attachments(&self) -> UnsentAttachments {
        self.attachments.unsent
    }

    /// Why the relay last did not take a batch, while it keeps a chain from going on.
    pub fn turned_down(&self) -> Option<Verdict> {
        self.turned_down.filter(|_| self.progress.held_back > 0)
    }

    /// Whether the relay says that this device was revoked: it takes what is sent, and lets nothing but
    /// control records come down.
    pub fn is_revoked(&self) -> bool {
        self.revoked
    }

    /// Why the session is over, once it is.
    pub fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    fn count(&mut self, now: Timestamp) -> Result<(), LinkError> {
        // It costs about a microsecond for each, so the more there are, the seldomer. A clock that jumped
        // counts as time gone by, whichever way.
        let every_ms = COUNT_MS.unsigned_abs() + self.unsent.records / 50;
        if now.millis_since(self.unsent.counted).unsigned_abs() >= every_ms {
            self.unsent = Unsent { records: self.store.unsent_records()?, counted: now };
        }
        Ok(())
    }

    fn perform(&mut self, now: Timestamp) -> Result<(), LinkError> {
        self.perform_outputs(now)?;
        self.acknowledge(now)?;
        // What was recorded or came in may mention others; most of the time it is one comparison.
        let version = self.store.attachments_version();
        if version != self.attachments.version {
            self.attachments.version = version;
            self.attachments.is_counted = false;
            self.session.handle(DeviceInput::AttachmentsChanged, now);
            self.perform_outputs(now)?;
        }
        if !self.attachments.is_counted {
            self.attachments.unsent = self.store.unsent_attachments()?;
            self.attachments.is_counted = true;
        }
        Ok(())
    }

    /// Writes down what the relay holds.
    fn acknowledge(&mut self, now: Timestamp) -> Result<(), LinkError> {
        let acknowledged = std::mem::take(&mut self.acknowledged);
        if !acknowledged.is_empty() {
            self.store.acknowledge(&acknowledged)?;
            self.count(now)?;
        }
        Ok(())
    }

    /// Performs outputs until none is left; performing one may cause more.
    fn perform_outputs(&mut self, now: Timestamp) -> Result<(), LinkError> {
        while let Some(output) = self.session.poll_output() {
            // Where the file has another name by now, the link was begun under a wrong one.
            self.is_outdated |= self.store.incarnation() != self.incarnation;
            if let Some(input) = self.perform_one(output, now)? {
                self.session.handle(input, now);
            }
            if std::mem::take(&mut self.members_changed) {
                self.session.handle(DeviceInput::MembershipChanged, now);
            }
            if std::mem::take(&mut self.has_more) {
                self.session.handle(DeviceInput::LocalChange { unsent: self.unsent.records }, now);
            }
            if std::mem::take(&mut self.is_outdated) {
                self.session.handle(DeviceInput::Reopen, now);
            }
        }
        Ok(())
    }

    fn perform_one(
        &mut self,
        output: DeviceOutput,
        now: Timestamp,
    ) -> Result<Option<DeviceInput>, LinkError> {
        match output {
            // What goes on besides, and asks for nothing that may have been acknowledged: a batch that was
            // sent on this link is not wanted again.
            DeviceOutput::Send(_)
            | DeviceOutput::Wanted { .. }
            | DeviceOutput::Acknowledged { .. }
            | DeviceOutput::Progress(_)
            | DeviceOutput::AttachmentsWanted { .. }
            | DeviceOutput::AttachmentPieceWanted { .. }
            | DeviceOutput::AttachmentHeldThere { .. }
            | DeviceOutput::AttachmentProgress(_)
            | DeviceOutput::WakeAt(_) => {}
            _ => self.acknowledge(now)?,
        }
        match output {
            DeviceOutput::Send(frame) => self.frames.push_back(frame),
            DeviceOutput::Wanted { sent, foreign, budget_len } => {
                self.settle(&foreign)?;
                let (batches, exhausted) = match self.is_outdated {
                    true => (Vec::new(), true),
                    false => self.store.outgoing(&sent, &foreign, budget_len)?,
                };
                return Ok(Some(DeviceInput::Outgoing { batches, exhausted }));
            }
            DeviceOutput::Ingest { space, batches, unread, cursor } => {
                // What only a newer version can read is kept before the cursor moves past it.
                for (offset, bytes) in &unread {
                    self.store.keep_unread(space, *offset, bytes, None)?;
                }
                match self.store.ingest(space, &batches, Some(cursor)) {
                    Ok(report) => {
                        self.has_more |= report.quarantined > 0;
                        self.members_changed |= report.membership_changed;
                    }
                    Err(error) if self.is_own_past(&error, &batches) => self.go_back(space, &error)?,
                    Err(error) => return Err(error.into()),
                }
                return Ok(Some(DeviceInput::Ingested { space }));
            }
            DeviceOutput::Acknowledged { batch, .. } => self.acknowledged.push(batch),
            DeviceOutput::RelayHeights { space, heights } => {
                match self.store.relay_heights(space, &heights) {
                    Err(StoreError::BehindRelay) => self.begin_anew()?,
                    compared => compared?,
                }
                self.own_at_relay.insert(space, heights);
            }
            DeviceOutput::ResetCursor { space } => self.store.reset_cursor(space)?,
            DeviceOutput::Answered { space: _, batch, verdict } => {
                tracing::warn!(%batch, ?verdict, "the relay did not take a batch");
                match verdict {
                    Verdict::Quarantined(_) => self.store.set_quarantined_there(batch)?,
                    _ => self.turned_down = Some(verdict),
                }
                self.is_outdated |= self.meet_fork(batch, verdict)?;
            }
            // Each comes again at its offset.
            DeviceOutput::Control { space, batches } => {
                self.members_changed |= self.store.ingest_carried(space, &batches)?.membership_changed;
            }
            DeviceOutput::QuarantineDiffers { space } => self.store.forget_quarantined_there(space)?,
            DeviceOutput::Watermark { space, offset } => {
                if self.store.watermark(space)? != Some(offset) {
                    self.store.set_watermark(space, offset)?;
                }
            }
            DeviceOutput::Revoked { space } => {
                tracing::warn!(%space, "this device was revoked");
                self.revoked = true;
            }
            DeviceOutput::NotMember { space } => {
                tracing::warn!(%space, "the relay does not let us into a space");
                self.left.insert(space);
            }
            output @ (DeviceOutput::AttachmentsWanted { .. }
            | DeviceOutput::AttachmentPieceWanted { .. }
            | DeviceOutput::AttachmentHeldThere { .. }
            | DeviceOutput::AttachmentAcknowledged { .. }
            | DeviceOutput::AttachmentNotTaken { .. }
            | DeviceOutput::AttachmentCame { .. }
            | DeviceOutput::AttachmentsSought { .. }
            | DeviceOutput::AttachmentProgress(_)) => return self.perform_attachment(output),
            DeviceOutput::Progress(progress) => {
                self.progress = progress;
                self.up_to_date = false;
            }
            DeviceOutput::UpToDate => {
                self.unsent = Unsent { records: self.store.unsent_records()?, counted: now };
                self.up_to_date = true;
            }
            DeviceOutput::WakeAt(at) => self.wake_at = Some(at),
            DeviceOutput::Closed(reason) => self.closed = Some(reason),
        }
        Ok(None)
    }

    /// Performs what is about attachments.
    fn perform_attachment(&mut self, output: DeviceOutput) -> Result<Option<DeviceInput>, LinkError> {
        let store = &self.store;
        match output {
            DeviceOutput::AttachmentsWanted { offers, fetches, known } => {
                self.attachments.version = store.attachments_version();
                let (offers, fetches) = store.moving_attachments(offers, fetches, &known)?;
                return Ok(Some(DeviceInput::Attachments { offers, fetches }));
            }
            DeviceOutput::AttachmentPieceWanted { space, hash, offset, len } => {
                let bytes = store.attachment_part(space, hash, offset, len)?;
                return Ok(Some(DeviceInput::AttachmentPiece { bytes }));
            }
            DeviceOutput::AttachmentCame { space, hash, len, offset, bytes } => {
                let kept = store.keep_attachment_part(space, hash, len, offset, &bytes)?;
                let len = bytes.len() as u64;
                return Ok(Some(DeviceInput::AttachmentKept { space, hash, kept, len }));
            }
            DeviceOutput::AttachmentHeldThere { space, hash, held } => {
                store.attachment_held_there(space, hash, held)?;
                self.attachments.is_counted = false;
            }
            DeviceOutput::AttachmentAcknowledged { space, hash, head } => {
                store.acknowledge_attachment(space, hash, head)?;
                self.attachments.is_counted = false;
            }
            DeviceOutput::AttachmentNotTaken { space, hash, refusal } => {
                tracing::warn!(%hash, %refusal, "the relay did not take an attachment");
                store.attachment_not_taken(space, hash, refusal)?;
            }
            DeviceOutput::AttachmentsSought { space, hashes } => {
                store.seek_attachments(space, &hashes)?;
                self.attachments.is_counted = false;
            }
            DeviceOutput::AttachmentProgress(progress) => self.attachments.progress = progress,
            _ => {}
        }
        Ok(None)
    }

    /// Settles what it can of this device's earlier incarnations: where the relay holds nothing of
    /// them that is not here, at once; elsewhere when the log was read as far as it went.
    fn settle(&mut self, read: &[SpaceId]) -> Result<(), LinkError> {
        for space in self.store.unsettled_spaces()? {
            if self.left.contains(&space) || self.is_outdated {
                continue;
            }
            let at_relay = self.own_at_relay.get(&space).map(Vec::as_slice).unwrap_or_default();
            let is_lacking = self.store.lacks_own(space, at_relay)?;
            if is_lacking && !read.contains(&space) {
                continue;
            }
            // A copy of this file under the same name wrote to the log, and the relay sends no name
            // its own batches.
            if is_lacking && self.store.read_again(space)? {
                self.is_outdated = true;
                continue;
            }
            self.store.settle_orphans(space)?;
        }
        Ok(())
    }

    fn begin_anew(&mut self) -> Result<(), LinkError> {
        self.store.begin_incarnation()?;
        self.is_outdated = true;
        Ok(())
    }

    /// Whether an ingest stopped at what this device wrote, under its present name or an earlier one.
    fn is_own_past(&self, error: &IngestError, batches: &[(u64, SealedBatch)]) -> bool {
        let IngestError::Stopped { stopped, .. } = error else { return false };
        let is_own = |(_, batch): &(u64, SealedBatch)| {
            batch.id() == stopped.batch && Some(batch.header().device) == self.store.device()
        };
        stopped.by != StoppedBy::OtherSpace && batches.iter().any(is_own)
    }

    fn go_back(&mut self, space: SpaceId, error: &IngestError) -> Result<(), LinkError> {
        if matches!(error, IngestError::Stopped { source: StoppedBy::RolledBack, .. }) {
            return self.begin_anew();
        }
        // Batches of the chain passed by while it was written under its own name.
        self.store.unsettle(space)?;
        self.store.read_again(space)?;
        self.is_outdated = true;
        Ok(())
    }

    /// Whether the relay holds another branch of a chain of this device's: then either this file is
    /// not the only one of its name, or the heights that the link began with are too old.
    fn meet_fork(&self, batch: BatchId, verdict: Verdict) -> Result<bool, LinkError> {
        let is_fork = matches!(
            verdict,
            Verdict::Refused(RefuseReason::Fork) | Verdict::Quarantined(QuarantineReason::Fork)
        );
        match self.store.name_of_own(batch)?.filter(|_| is_fork) {
            None => Ok(false),
            Some(name) => {
                if name == self.store.incarnation() {
                    self.store.begin_incarnation()?;
                }
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::control::RefuseReason;
    use crate::id::{LogId, SpaceId};
    use crate::model::Fields;
    use crate::position::QuarantineDigest;
    use crate::protocol::{OpenedSpace, RelayInput, RelayOutput, RelaySession, RelaySessionConfig};
    use crate::store::StoreConfig;

    #[test]
    fn what_the_relay_refuses_stays_on_the_device_and_the_link_says_why() {
        let now = Timestamp::from_millis(1);
        let (identity, relay) = (Arc::new(Identity::generate()), Arc::new(Identity::generate()));
        let config = StoreConfig { identity: Some(identity.clone()), ..StoreConfig::in_memory() };
        let store = Store::open(config).unwrap();
        let space = SpaceId::from_bytes([3; 32]);
        store.join_space(space).unwrap();
        store.write(|group| group.put(space, "event", None, Fields::new())).unwrap();

        let mut link = Link::begin(&store, identity, relay.device(), [1; 16], now).unwrap();
        let mut session = RelaySession::new(RelaySessionConfig { identity: relay, nonce: [2; 16] }, now);
        let refused = Verdict::Refused(RefuseReason::Malformed);
        for _ in 0..8 {
            while let Some(frame) = link.next_frame() {
                session.handle(RelayInput::Frame(frame), now);
            }
            while let Some(output) = session.poll_output() {
                match output {
                    RelayOutput::Send(frame) => link.handle(LinkInput::Frame(frame), now).unwrap(),
                    RelayOutput::Open { .. } => {
                        let member = OpenedSpace::Member {
                            log: LogId::from_bytes([4; 16]),
                            head: 0,
                            at_cursor: None,
                            len_after_cursor: 0,
                            len_total: 0,
                            watermark: 0,
                            is_revoked: false,
                            quarantined: QuarantineDigest::default(),
                            own: Vec::new(),
                        };
                        session.handle(RelayInput::Opened(vec![member]), now);
                    }
                    RelayOutput::Append { batch, .. } => {
                        session.handle(RelayInput::Appended { batch: batch.id(), outcome: refused }, now);
                    }
                    _ => {}
                }
            }
        }
        assert_eq!(link.turned_down(), Some(refused));
        assert_eq!(link.unsent_records(), 1);
        assert!(!link.is_up_to_date());
    }
}
