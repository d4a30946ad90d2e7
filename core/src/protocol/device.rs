//! The device's end of a link.
//!
//! It never asks for what it could be told, and believes no relay that has not proved itself. Its
//! surprise: it holds no batches of its own. What is to be sent is asked for when there is room, and
//! what came is handed on in groups.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::attachment::{AttachmentProgress, Attachments};
use super::close::{CloseCode, CloseReason};
use super::download::Downloads;
use super::handshake;
use super::message::{CursorClaim, Hello, Message, Open, SpaceState, Standing, Versions, Welcome};
use super::timer::Alarm;
use super::upload::Uploads;
use crate::attachment::{
    AttachmentFetch, AttachmentKept, AttachmentName, AttachmentOffer, AttachmentRefusal,
};
use crate::batch::SealedBatch;
use crate::clock::Timestamp;
use crate::control::Verdict;
use crate::id::{AttachmentHash, BatchId, DeviceId, Incarnation, LogDigest, SpaceId};
use crate::identity::Identity;
use crate::limits::{HANDSHAKE_MS_MAX, LINK_IDLE_MS_MAX, LINK_PING_MS, LINK_SPACES_MAX, REPORT_MS_MIN};
use crate::position::{Cursor, Height, OwnChain, SpacePosition, own_digest};

/// Everything that a device's end of a link needs to know.
#[derive(Debug, Clone)]
pub struct DeviceSessionConfig {
    /// The device's key.
    pub identity: Arc<Identity>,
    /// The relay's key, pinned at enrolment.
    pub relay: DeviceId,
    /// Random, and fresh for this link.
    pub nonce: [u8; 16],
    /// The database file.
    pub incarnation: Incarnation,
    /// Where the device stands; a link carries the first [`LINK_SPACES_MAX`] spaces.
    pub spaces: Vec<SpacePosition>,
    /// Records with changes that the relay does not hold.
    pub unsent: u64,
}

/// What the session is told.
#[derive(Debug)]
pub enum DeviceInput {
    /// A frame came in.
    Frame(Vec<u8>),
    /// The answer to [`DeviceOutput::Wanted`].
    Outgoing {
        /// Batches, each chain in order.
        batches: Vec<SealedBatch>,
        /// There are no more.
        exhausted: bool,
    },
    /// What [`DeviceOutput::Ingest`] handed on is stored, its cursor too.
    Ingested {
        /// The space.
        space: SpaceId,
    },
    /// The answer to [`DeviceOutput::AttachmentsWanted`].
    Attachments {
        /// What the relay perhaps lacks, the oldest first; of thumbnails and others each so many at most.
        offers: Vec<AttachmentOffer>,
        /// What the device wants, the most wanted first.
        fetches: Vec<AttachmentFetch>,
    },
    /// The answer to [`DeviceOutput::AttachmentPieceWanted`].
    AttachmentPiece {
        /// None if they cannot be read.
        bytes: Option<Vec<u8>>,
    },
    /// The answer to [`DeviceOutput::AttachmentCame`].
    AttachmentKept {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// What became of what came.
        kept: AttachmentKept,
        /// Its bytes.
        len: u64,
    },
    /// There are more attachments to offer or to fetch than were.
    AttachmentsChanged,
    /// What came in says something else about who belongs to a space.
    MembershipChanged,
    /// Something was recorded.
    LocalChange {
        /// Records with changes that the relay does not hold.
        unsent: u64,
    },
    /// A time asked for by [`DeviceOutput::WakeAt`] has come.
    Tick,
    /// The device wants to end the link.
    Close,
    /// What the device told as the link began is no longer so: it must be opened anew.
    Reopen,
    /// The carrier broke: nothing can be sent any more.
    Cut,
}

/// What the session wants done, in order.
#[derive(Debug)]
pub enum DeviceOutput {
    /// Send a frame.
    Send(Vec<u8>),
    /// Give batches to send: [`DeviceInput::Outgoing`] is the answer.
    Wanted {
        /// Per chain, the height after which to begin; a chain not named begins with what was not
        /// acknowledged. [`crate::position::HEIGHT_STOPPED`] lets nothing of a chain through.
        sent: Vec<(SpaceId, Height)>,
        /// The spaces of which others' batches may go too, those that came from peers or in bundles:
        /// the relay's log of them was read as far as it went when the link opened, so what it has
        /// is known.
        foreign: Vec<SpaceId>,
        /// Bytes there is room for. The first batch may be longer.
        budget_len: usize,
    },
    /// Store a group of batches and the cursor that it reaches: [`DeviceInput::Ingested`] is the answer.
    Ingest {
        /// The space.
        space: SpaceId,
        /// Batches with their offsets; none if only the cursor moves.
        batches: Vec<(u64, SealedBatch)>,
        /// Batches that only a newer version can read: to be kept as they are.
        unread: Vec<(u64, Vec<u8>)>,
        /// How far the relay's log is held then.
        cursor: Cursor,
    },
    /// The relay holds a batch, durably.
    Acknowledged {
        /// The space.
        space: SpaceId,
        /// The batch.
        batch: BatchId,
    },
    /// The relay did not take a batch into its log; its chain goes no further for now.
    Answered {
        /// The space.
        space: SpaceId,
        /// The batch.
        batch: BatchId,
        /// Why: retry later or refused; or that it is in quarantine, and then its chain does go on.
        verdict: Verdict,
    },
    /// What the relay holds of this device's chains is not what was thought: take exactly this as
    /// acknowledged. A chain not named is not held at all.
    RelayHeights {
        /// The space.
        space: SpaceId,
        /// The relay's heights.
        heights: Vec<OwnChain>,
    },
    /// The relay's log is not the one the cursor was in: everything comes again, and what others wrote
    /// may have to be given back.
    ResetCursor {
        /// The space.
        space: SpaceId,
    },
    /// What the relay has in quarantine is not what was thought: offer all of that again.
    QuarantineDiffers {
        /// The space.
        space: SpaceId,
    },
    /// The device was revoked in a space: it gets control batches there and nothing else.
    Revoked {
        /// The space.
        space: SpaceId,
    },
    /// Control batches, ahead of their offsets: to be taken in before all others.
    Control {
        /// The space.
        space: SpaceId,
        /// The batches.
        batches: Vec<SealedBatch>,
    },
    /// The relay's newest backup has a space's log up to an offset.
    Watermark {
        /// The space.
        space: SpaceId,
        /// The offset.
        offset: u64,
    },
    /// The relay does not let the device into a space.
    NotMember {
        /// The space.
        space: SpaceId,
    },
    /// Name attachments to offer and to fetch: [`DeviceInput::Attachments`] is the answer.
    AttachmentsWanted {
        /// So many to offer, at most.
        offers: usize,
        /// So many to fetch, at most.
        fetches: usize,
        /// Not these, of either.
        known: BTreeSet<AttachmentName>,
    },
    /// Read a part of an attachment: [`DeviceInput::AttachmentPiece`] is the answer.
    AttachmentPieceWanted {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// Where to begin.
        offset: u64,
        /// How many bytes, at most.
        len: usize,
    },
    /// The relay holds a part of an attachment that was offered.
    AttachmentHeldThere {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// Bytes from its beginning.
        held: u64,
    },
    /// The relay holds an attachment, whole, checked and durable.
    AttachmentAcknowledged {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// The last offset of the space's log then: a backup beyond it has the attachment too.
        head: u64,
    },
    /// The relay does not take an attachment.
    AttachmentNotTaken {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// Why.
        refusal: AttachmentRefusal,
    },
    /// Keep a part of an attachment: [`DeviceInput::AttachmentKept`] is the answer.
    AttachmentCame {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// Bytes of the whole attachment.
        len: u64,
        /// Where the part begins: where the last one ended.
        offset: u64,
        /// The part.
        bytes: Vec<u8>,
    },
    /// The relay lacks these: what of them is held is to be offered, whatever the relay said before.
    AttachmentsSought {
        /// The space.
        space: SpaceId,
        /// The attachments.
        hashes: Vec<AttachmentHash>,
    },
    /// How far attachments are on this link.
    AttachmentProgress(AttachmentProgress),
    /// How far both directions are.
    Progress(SessionProgress),
    /// Everything known here and there has been exchanged and acknowledged.
    UpToDate,
    /// Give [`DeviceInput::Tick`] at this time.
    WakeAt(Timestamp),
    /// The link is over.
    Closed(CloseReason),
}

/// How far both directions of a link are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionProgress {
    /// To the relay: acknowledged.
    pub up: Transfer,
    /// From the relay: stored.
    pub down: Transfer,
    /// Chains that the relay keeps from going on; while there are any, the device is not up to date.
    pub held_back: u32,
}

/// How far one direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Transfer {
    /// Batches on this link so far.
    pub batches: u64,
    /// Their bytes.
    pub len: u64,
    /// Batches on this link when all is done, once that is known.
    pub batches_total: Option<u64>,
    /// Their bytes.
    pub len_total: Option<u64>,
}

#[derive(Debug)]
enum Phase {
    /// `Hello` is sent.
    Greeting,
    /// `Proof` is sent.
    Proving,
    Open,
    Closed,
}

/// The device's end of one link. After each input, drain the outputs.
#[derive(Debug)]
pub struct DeviceSession {
    identity: Arc<Identity>,
    relay: DeviceId,
    hello: Hello,
    spaces: Vec<SpacePosition>,
    phase: Phase,
    uploads: Uploads,
    downloads: Downloads,
    attachments: Attachments,
    /// What the link speaks.
    version: u8,
    began: Timestamp,
    heard: Timestamp,
    /// The number of the ping that waits for its answer.
    pinged: Option<u64>,
    pings: u64,
    unsent: u64,
    /// What the relay was last told is unsent, and when.
    reported: (u64, Timestamp),
    alarm: Alarm,
    progress: SessionProgress,
    up_to_date: bool,
    outputs: VecDeque<DeviceOutput>,
}

impl DeviceSession {
    /// Begins: the first frame is ready to be taken.
    pub fn new(config: DeviceSessionConfig, now: Timestamp) -> Self {
        Self::speaking(Versions::SPOKEN, config, now)
    }

    /// The same, speaking other versions than this build.
    pub(super) fn speaking(versions: Versions, config: DeviceSessionConfig, now: Timestamp) -> Self {
        let hello = Hello {
            versions,
            device: config.identity.device(),
            incarnation: config.incarnation,
            nonce: config.nonce,
        };
        let device = hello.device;
        let mut spaces = config.spaces;
        spaces.truncate(LINK_SPACES_MAX);
        let mut session = Self {
            identity: config.identity,
            relay: config.relay,
            outputs: VecDeque::from([DeviceOutput::Send(Message::Hello(hello.clone()).encode())]),
            hello,
            spaces,
            phase: Phase::Greeting,
            uploads: Uploads::new(device, now),
            downloads: Downloads::new(),
            attachments: Attachments::new(now),
            version: versions.lowest,
            began: now,
            heard: now,
            pinged: None,
            pings: 0,
            unsent: config.unsent,
            reported: (config.unsent, now),
            alarm: Alarm::default(),
            progress: SessionProgress::default(),
            up_to_date: false,
        };
        session.settle(now);
        session
    }

    /// Takes one input in.
    pub fn handle(&mut self, input: DeviceInput, now: Timestamp) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match input {
            DeviceInput::Frame(frame) => self.frame(&frame, now),
            DeviceInput::Outgoing { batches, exhausted } => {
                let downloads = &self.downloads;
                let place = |space| downloads.place(space);
                self.uploads.offer(batches, exhausted, place, now, &mut self.outputs);
            }
            DeviceInput::Ingested { space } => self.downloads.ingested(space),
            DeviceInput::Attachments { offers, fetches } => {
                let downloads = &self.downloads;
                let place = |space| downloads.place(space);
                self.attachments.named(offers, fetches, place, now, &mut self.outputs);
            }
            DeviceInput::AttachmentPiece { bytes } => {
                let is_gone = bytes.is_none();
                self.attachments.giving.give(bytes, now, &mut self.outputs);
                if is_gone {
                    self.attachments.changed();
                }
            }
            DeviceInput::AttachmentKept { space, hash, kept, len } => {
                self.attachments.kept((space, hash), kept, len, &mut self.outputs);
            }
            DeviceInput::AttachmentsChanged => self.attachments.changed(),
            DeviceInput::LocalChange { unsent } => {
                self.unsent = unsent;
                self.up_to_date = false;
                self.uploads.changed();
            }
            DeviceInput::MembershipChanged => {
                self.up_to_date = false;
                self.uploads.membership_changed(now);
            }
            DeviceInput::Tick => self.tick(now),
            DeviceInput::Close => self.close(CloseCode::Done),
            DeviceInput::Reopen => self.close(CloseCode::Reopen),
            DeviceInput::Cut => self.end(CloseReason::Cut),
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<DeviceOutput> {
        self.outputs.pop_front()
    }

    fn frame(&mut self, frame: &[u8], now: Timestamp) {
        self.heard = now;
        let handled = match Message::decode(frame) {
            Ok(Message::Close(code)) => return self.end(CloseReason::There(code)),
            Ok(message) => self.message(message, now),
            Err(error) => Err(CloseCode::from(error)),
        };
        if let Err(code) = handled {
            self.close(code);
        }
    }

    fn message(&mut self, message: Message, now: Timestamp) -> Result<(), CloseCode> {
        match (&self.phase, message) {
            (Phase::Greeting, Message::Welcome(welcome)) => self.welcome(&welcome),
            (Phase::Proving, Message::State(states)) => self.state(states),
            (Phase::Open, message) => self.open_message(message, now),
            _ => Err(CloseCode::Unexpected),
        }
    }

    fn welcome(&mut self, welcome: &Welcome) -> Result<(), CloseCode> {
        if !self.hello.versions.contains(welcome.version) {
            return Err(CloseCode::Version);
        }
        let transcript = handshake::check_welcome(&self.hello, self.relay, welcome)
            .map_err(|_| CloseCode::Impersonation)?;
        let standing = Standing { unsent: self.unsent, spaces: self.spaces.iter().map(Open::from).collect() };
        self.reported.0 = self.unsent;
        let proof = handshake::prove(&transcript, &self.identity, standing);
        self.send(Message::Proof(proof));
        self.version = welcome.version;
        self.phase = Phase::Proving;
        Ok(())
    }

    fn state(&mut self, states: Vec<SpaceState>) -> Result<(), CloseCode> {
        if states.len() != self.spaces.len() {
            return Err(CloseCode::Unexpected);
        }
        let positions = std::mem::take(&mut self.spaces);
        for (position, state) in positions.into_iter().zip(states) {
            self.open_space(position, state)?;
        }
        self.phase = Phase::Open;
        Ok(())
    }

    fn open_space(&mut self, position: SpacePosition, state: SpaceState) -> Result<(), CloseCode> {
        let space = position.space;
        let SpaceState::Open { log, head, len_after_cursor, watermark, is_revoked, quarantined, own } = state
        else {
            self.downloads.leave();
            self.uploads.leave(space, &position.own, self.hello.incarnation);
            self.outputs.push_back(DeviceOutput::NotMember { space });
            return Ok(());
        };
        let (log, taken) = match (log, position.cursor) {
            (None, Some(cursor)) if cursor.offset <= head => (cursor.log, cursor.offset),
            (None, _) => return Err(CloseCode::Unexpected),
            (Some(log), _) => (log, 0),
        };
        if position.cursor.is_some() && taken == 0 {
            self.outputs.push_back(DeviceOutput::ResetCursor { space });
        }
        if is_revoked {
            self.outputs.push_back(DeviceOutput::Revoked { space });
        }
        if watermark > 0 {
            self.outputs.push_back(DeviceOutput::Watermark { space, offset: watermark });
        }
        if quarantined != position.quarantined && !position.quarantined.is_empty() {
            self.outputs.push_back(DeviceOutput::QuarantineDiffers { space });
        }
        self.downloads.open(space, log, taken, head, len_after_cursor);
        self.uploads.begin(space, own.as_deref().unwrap_or(&position.own));
        if let Some(heights) = own {
            self.outputs.push_back(DeviceOutput::RelayHeights { space, heights });
        }
        Ok(())
    }

    fn open_message(&mut self, message: Message, now: Timestamp) -> Result<(), CloseCode> {
        match message {
            Message::Answer { batch, verdict } => {
                let space = self.uploads.answered(batch, verdict, now).ok_or(CloseCode::Unexpected)?;
                self.outputs.push_back(match verdict {
                    Verdict::Accepted => DeviceOutput::Acknowledged { space, batch },
                    verdict => DeviceOutput::Answered { space, batch, verdict },
                });
            }
            Message::Batch { space, offset, digest, batch } => self.batch(space, (offset, digest), batch)?,
            Message::Control { space, batch } => self.control(space, &batch)?,
            Message::Reached { space, offset, digest } => self.downloads.reached(space, (offset, digest))?,
            Message::Ping { number } => self.downloads.ping(number)?,
            Message::Pong { number } if self.pinged == Some(number) => self.pinged = None,
            message if self.version >= Versions::ATTACHMENTS => self.attachment_message(message, now)?,
            _ => return Err(CloseCode::Unexpected),
        }
        Ok(())
    }

    fn attachment_message(&mut self, message: Message, now: Timestamp) -> Result<(), CloseCode> {
        let downloads = &self.downloads;
        let space = |place| downloads.space(place).ok_or(CloseCode::Unexpected);
        let (attachments, outputs) = (&mut self.attachments, &mut self.outputs);
        match message {
            Message::Holds { space: place, hash, held, head } => {
                attachments.held((space(place)?, hash), (held, head), now, outputs);
            }
            Message::NotWanted { space: place, hash, refusal } => {
                attachments.giving.refused((space(place)?, hash), refusal, now, outputs);
                attachments.changed();
            }
            Message::Bytes { space: place, hash, len, offset, bytes } => {
                attachments.taking.came(place, (space(place)?, hash), (len, offset), bytes, now, outputs);
            }
            Message::Lacks { space: place, hash } => {
                attachments.taking.lacks((space(place)?, hash), now);
                attachments.changed();
            }
            Message::Sought { space: place, hashes } => {
                let space = space(place)?;
                hashes.iter().for_each(|hash| attachments.giving.sought((space, *hash)));
                outputs.push_back(DeviceOutput::AttachmentsSought { space, hashes });
            }
            _ => return Err(CloseCode::Unexpected),
        }
        Ok(())
    }

    fn batch(&mut self, space: u8, end: (u64, LogDigest), bytes: Vec<u8>) -> Result<(), CloseCode> {
        match SealedBatch::parse(bytes.as_slice()) {
            Ok(batch) => self.downloads.batch(space, end, batch),
            Err(error) if error.keeps_unread() => self.downloads.unread(space, end, bytes),
            Err(_) => Err(CloseCode::BatchMalformed),
        }
    }

    fn control(&mut self, space: u8, bytes: &[u8]) -> Result<(), CloseCode> {
        match SealedBatch::parse(bytes) {
            Ok(batch) => self.downloads.control(space, batch),
            // It comes again at its offset, and is kept then.
            Err(error) if error.keeps_unread() => Ok(()),
            Err(_) => Err(CloseCode::BatchMalformed),
        }
    }

    fn tick(&mut self, now: Timestamp) {
        if !matches!(self.phase, Phase::Open) {
            if now.millis_since(self.began) >= HANDSHAKE_MS_MAX {
                self.close(CloseCode::HandshakeTimeout);
            }
            return;
        }
        let silence_ms = now.millis_since(self.heard);
        if silence_ms >= LINK_IDLE_MS_MAX {
            return self.close(CloseCode::Idle);
        }
        if silence_ms >= LINK_PING_MS && self.pinged.is_none() {
            self.pings += 1;
            self.pinged = Some(self.pings);
            self.send(Message::Ping { number: self.pings });
            self.downloads.complete_all();
        }
        self.uploads.tick(now);
        self.attachments.tick(now);
    }

    /// Draws the consequences of an input: what to ask for, hand on, report and be woken for.
    fn settle(&mut self, now: Timestamp) {
        // A clock set back must not silence the timers until it has caught up.
        self.heard = self.heard.min(now);
        self.began = self.began.min(now);
        self.reported.1 = self.reported.1.min(now);
        self.uploads.set_time(now);
        self.attachments.set_time(now);
        if matches!(self.phase, Phase::Open) {
            self.downloads.hand_on(&mut self.outputs);
            self.uploads.let_foreign(self.downloads.read_to_the_opening());
            self.uploads.ask(&mut self.outputs);
            if self.version >= Versions::ATTACHMENTS {
                let lets_by = self.uploads.lets_by(now) && self.downloads.is_done();
                self.attachments.settle(lets_by, &mut self.outputs);
            }
            self.show();
            self.report(now);
        }
        if let Some(at) = self.deadline().and_then(|deadline| self.alarm.set(deadline, now)) {
            self.outputs.push_back(DeviceOutput::WakeAt(at));
        }
    }

    fn show(&mut self) {
        let progress = SessionProgress {
            up: self.uploads.progress(),
            down: self.downloads.progress(),
            held_back: self.uploads.held_back(),
        };
        if progress != self.progress {
            self.progress = progress;
            self.up_to_date = false;
            self.outputs.push_back(DeviceOutput::Progress(progress));
        }
        let is_done = self.uploads.is_done() && self.downloads.is_done();
        if is_done && !self.up_to_date {
            self.unsent = 0;
            self.outputs.push_back(DeviceOutput::UpToDate);
        }
        self.up_to_date = is_done;
    }

    /// Tells the relay how much is unsent: at once when nothing is, otherwise now and then.
    fn report(&mut self, now: Timestamp) {
        let (told, told_at) = self.reported;
        let is_due = self.up_to_date || now.millis_since(told_at) >= REPORT_MS_MIN;
        if self.unsent != told && is_due {
            self.reported = (self.unsent, now);
            self.send(Message::Report { unsent: self.unsent });
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Closed => None,
            Phase::Greeting | Phase::Proving => Some(self.began.plus_millis(HANDSHAKE_MS_MAX)),
            Phase::Open => {
                let silence_ms = if self.pinged.is_some() { LINK_IDLE_MS_MAX } else { LINK_PING_MS };
                let silent_at = self.heard.plus_millis(silence_ms);
                let others = [self.uploads.deadline(), self.attachments.deadline()];
                others.into_iter().flatten().chain([silent_at]).min()
            }
        }
    }

    fn send(&mut self, message: Message) {
        self.outputs.push_back(DeviceOutput::Send(message.encode()));
    }

    fn close(&mut self, code: CloseCode) {
        self.send(Message::Close(code));
        self.end(CloseReason::Here(code));
    }

    fn end(&mut self, reason: CloseReason) {
        // What came whole is worth keeping, whatever ended the link.
        self.downloads.complete_all();
        self.downloads.hand_on_last(&mut self.outputs);
        self.phase = Phase::Closed;
        self.outputs.push_back(DeviceOutput::Closed(reason));
    }
}

impl From<&SpacePosition> for Open {
    fn from(position: &SpacePosition) -> Self {
        let claim =
            |cursor: Cursor| CursorClaim { log: cursor.log, offset: cursor.offset, digest: cursor.digest };
        Self {
            space: position.space,
            cursor: position.cursor.map(claim),
            own_digest: own_digest(&position.own),
        }
    }
}
