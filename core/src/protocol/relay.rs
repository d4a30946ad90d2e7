//! The relay's end of one link.
//!
//! It decides nothing about membership and reads no log: it asks whoever owns it, a room, and turns
//! the answers into frames. Outputs are performed in order, each `Send` before what follows it, so
//! that a slow socket holds the log's reading back by itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::attachment::{Desk, say_sought};
use super::close::{CloseCode, CloseReason};
use super::fanout::{Begin, Outbox};
use super::handshake::{self, Transcript};
use super::message::{CursorClaim, Enrol, Enrolment, Hello, Message, Proof, SpaceState, Versions};
use super::timer::Alarm;
use crate::attachment::AttachmentRefusal;
use crate::batch::{BatchError, SealedBatch, unread_id};
use crate::clock::Timestamp;
use crate::control::Verdict;
use crate::id::{AttachmentHash, BatchId, DeviceId, Incarnation, LogDigest, LogId, SpaceId};
use crate::identity::Identity;
use crate::limits::{HANDSHAKE_MS_MAX, LINK_CHAINS_MAX, LINK_IDLE_MS_MAX, REACHED_MS, UNTAKEN_LEN_MAX};
use crate::position::{OwnChain, QuarantineDigest, own_digest};

/// Everything that a relay's end of a link needs to know.
#[derive(Debug, Clone)]
pub struct RelaySessionConfig {
    /// The relay's key.
    pub identity: Arc<Identity>,
    /// Random, and fresh for this link.
    pub nonce: [u8; 16],
}

/// What the session is told.
#[derive(Debug)]
pub enum RelayInput {
    /// A frame came in.
    Frame(Vec<u8>),
    /// The answer to [`RelayOutput::Open`]: one for each space asked for, in the same order. A
    /// device that may not open the link at all gets [`RelayInput::Close`].
    Opened(Vec<OpenedSpace>),
    /// The answer to [`RelayOutput::Enrol`]; a refusal is [`RelayInput::Close`].
    Enrolled(Enrolment),
    /// The answer to [`RelayOutput::Append`], after the log's commit.
    Appended {
        /// The batch.
        batch: BatchId,
        /// Accepted only if it is durable, whether it is new or was there before.
        outcome: Verdict,
    },
    /// The answer to [`RelayOutput::ReadLog`].
    Read {
        /// The space.
        space: SpaceId,
        /// Batches as logged, their offsets ascending.
        batches: Vec<Logged>,
        /// The last offset that was looked at, excluded batches too, and what the log is up to there.
        reached: Option<(u64, LogDigest)>,
    },
    /// The answer to [`RelayOutput::ReadControl`].
    ControlRead {
        /// The space.
        space: SpaceId,
        /// Control batches as logged, in their order.
        batches: Vec<Arc<[u8]>>,
        /// The last offset that was looked at.
        reached: u64,
    },
    /// So much of an attachment is here: the answer to [`RelayOutput::AttachmentOffered`] and to
    /// [`RelayOutput::AttachmentPiece`], one each, in their order. Where the device was told that it is
    /// lacking, it may also be given unasked when the attachment has come.
    AttachmentHeld {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// Bytes from its beginning; all of them only when it is checked and durable.
        held: u64,
        /// Its bytes.
        len: u64,
        /// The last offset of the space's log, read after the attachment was durable.
        head: u64,
    },
    /// An attachment, or a part of it, is not taken: the other answer to these. After
    /// [`AttachmentRefusal::Harmed`] it begins again; after the others it is over.
    AttachmentRefused {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// Why.
        refusal: AttachmentRefusal,
    },
    /// The answer to [`RelayOutput::AttachmentWanted`].
    AttachmentBytes {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// Bytes of the whole attachment.
        len: u64,
        /// Where the part begins: as it was asked for.
        offset: u64,
        /// At least one byte, and no more than was asked for.
        bytes: Vec<u8>,
    },
    /// The other answer: the attachment is not here whole, or ends before that offset.
    AttachmentLacking {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
    },
    /// Attachments that records mention and that are not here, to be told to the device once.
    AttachmentsSought {
        /// The space.
        space: SpaceId,
        /// The attachments.
        hashes: Vec<AttachmentHash>,
    },
    /// A space's log has grown.
    News {
        /// The space.
        space: SpaceId,
        /// Its last offset.
        head: u64,
    },
    /// A time asked for by [`RelayOutput::WakeAt`] has come.
    Tick,
    /// Ends the link: a device that is refused or revoked, or a relay that stops.
    Close(CloseCode),
}

/// A batch of the log, on its way to a device.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Its place.
    pub offset: u64,
    /// What the log is up to there.
    pub digest: LogDigest,
    /// The batch as sealed.
    pub batch: Arc<[u8]>,
}

/// What the log and the room know about one space that a device asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenedSpace {
    /// The device is no member of it.
    NotMember,
    /// It is.
    Member {
        /// The log.
        log: LogId,
        /// Its last offset; 0 when it is empty.
        head: u64,
        /// What the log is up to the offset that the device claims, if it has one there.
        at_cursor: Option<LogDigest>,
        /// Bytes of the batches after that offset: 0 tells the device that nothing will come. Those of
        /// the device's own incarnation may be counted in, although they are not sent.
        len_after_cursor: u64,
        /// The same from the log's beginning: it is sent when the cursor does not hold.
        len_total: u64,
        /// The offset up to which the newest backup has the log; 0 without one.
        watermark: u64,
        /// The device was revoked here: it gets control batches and nothing else, and what it sends is
        /// taken.
        is_revoked: bool,
        /// Which of the device's batches are in quarantine, the discarded ones too.
        quarantined: QuarantineDigest,
        /// Heights of all the device's chains in this space.
        own: Vec<OwnChain>,
    },
}

/// What the session wants done, in order.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "an append is what a busy link mostly puts out")]
pub enum RelayOutput {
    /// Send a frame.
    Send(Vec<u8>),
    /// A device has proved itself: look its spaces up, and let it have [`RelayInput::News`] from
    /// before that moment on. [`RelayInput::Opened`] or [`RelayInput::Close`] is the answer.
    Open {
        /// The device.
        device: DeviceId,
        /// Its database file.
        incarnation: Incarnation,
        /// The spaces, and where the device claims to stand.
        spaces: Vec<(SpaceId, Option<CursorClaim>)>,
    },
    /// A device with a token has proved that it holds its key. The same token and device again get
    /// the same answer: the first may have been lost on its way.
    Enrol {
        /// The enrolment code's token.
        token: [u8; 16],
        /// The key to enrol.
        device: DeviceId,
        /// What people call the device.
        label: String,
    },
    /// Judge a batch and append it to the log; [`RelayInput::Appended`] is the answer.
    Append {
        /// The space.
        space: SpaceId,
        /// The batch; its structure is sound, nothing else is known about it.
        batch: SealedBatch,
    },
    /// Read the log; [`RelayInput::Read`] is the answer. At least one batch, if there is one.
    ReadLog {
        /// The space.
        space: SpaceId,
        /// The offset after which to begin.
        after: u64,
        /// Whose batches to leave out.
        excluding: (DeviceId, Incarnation),
        /// Bytes there is room for. The first batch may be longer.
        len_max: usize,
        /// Leave out all but control batches.
        control_only: bool,
    },
    /// Read the control batches that others lie before; [`RelayInput::ControlRead`] is the answer.
    ReadControl {
        /// The space.
        space: SpaceId,
        /// How far the log has gone out: the others lie between here and the control batch.
        position: u64,
        /// The offset after which to begin.
        after: u64,
        /// Bytes there is room for. The first batch may be longer.
        len_max: usize,
    },
    /// A device offers an attachment: begin to keep it, or go on. [`RelayInput::AttachmentHeld`] or
    /// [`RelayInput::AttachmentRefused`] is the answer.
    AttachmentOffered {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// Its bytes, as the device says; at least one, and no more than the protocol's limit.
        len: u64,
    },
    /// Keep a part of an attachment that was offered on this link, if it begins where what is held ends;
    /// the answers are the same.
    AttachmentPiece {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// Where the part begins.
        offset: u64,
        /// The part; at least one byte.
        bytes: Vec<u8>,
    },
    /// Read a part of an attachment: [`RelayInput::AttachmentBytes`] or
    /// [`RelayInput::AttachmentLacking`] is the answer.
    AttachmentWanted {
        /// The space.
        space: SpaceId,
        /// The attachment.
        hash: AttachmentHash,
        /// Where to begin.
        offset: u64,
        /// How many bytes, at most.
        len_max: usize,
    },
    /// The device holds a space's log up to an offset: it claimed so, or answered for it, or wrote what
    /// lies between itself.
    Confirmed {
        /// The space.
        space: SpaceId,
        /// The offset.
        offset: u64,
    },
    /// A device whose link is open was heard of.
    Seen {
        /// The device.
        device: DeviceId,
        /// Records that it says it has not sent yet.
        unsent: u64,
    },
    /// Give [`RelayInput::Tick`] at this time.
    WakeAt(Timestamp),
    /// The link is over.
    Closed(CloseReason),
}

#[derive(Debug)]
enum Phase {
    Listening,
    /// `Welcome` is sent.
    Welcomed(Transcript),
    /// The room looks the spaces up: each with its claim and digest, and what the device has not sent.
    Opening(Vec<Claim>, u64),
    Enrolling(Enrol),
    Open,
    Closed,
}

#[derive(Debug)]
struct Claim {
    space: SpaceId,
    cursor: Option<CursorClaim>,
    own_digest: [u8; 16],
}

/// The relay's end of one link. After each input, drain the outputs.
#[derive(Debug)]
pub struct RelaySession {
    config: RelaySessionConfig,
    phase: Phase,
    device: Option<(DeviceId, Incarnation)>,
    outbox: Outbox,
    desk: Desk,
    spoken: Versions,
    /// What the link speaks.
    version: u8,
    /// Batches handed to the log and not yet answered, and their bytes.
    appending: BTreeMap<BatchId, usize>,
    /// When the device last sent a batch.
    pushed: Option<Timestamp>,
    began: Timestamp,
    heard: Timestamp,
    alarm: Alarm,
    outputs: VecDeque<RelayOutput>,
}

impl RelaySession {
    /// Waits for the device's first frame.
    pub fn new(config: RelaySessionConfig, now: Timestamp) -> Self {
        Self::speaking(Versions::SPOKEN, config, now)
    }

    /// The same, speaking other versions than this build.
    pub(super) fn speaking(spoken: Versions, config: RelaySessionConfig, now: Timestamp) -> Self {
        let mut session = Self {
            config,
            phase: Phase::Listening,
            device: None,
            outbox: Outbox::new(now),
            desk: Desk::new(now),
            spoken,
            version: spoken.lowest,
            appending: BTreeMap::new(),
            pushed: None,
            began: now,
            heard: now,
            alarm: Alarm::default(),
            outputs: VecDeque::new(),
        };
        session.settle(now);
        session
    }

    /// The device, once it has proved itself.
    pub fn device(&self) -> Option<DeviceId> {
        self.device.map(|(device, _)| device)
    }

    /// Takes one input in.
    pub fn handle(&mut self, input: RelayInput, now: Timestamp) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match input {
            RelayInput::Frame(frame) => self.frame(&frame, now),
            RelayInput::Opened(spaces) => self.opened(spaces),
            RelayInput::Enrolled(membership) => self.enrolled(membership),
            RelayInput::Appended { batch, outcome } => self.appended(batch, outcome),
            RelayInput::Read { space, batches, reached } => {
                self.outbox.read(space, &batches, reached, now, &mut self.outputs);
            }
            RelayInput::ControlRead { space, batches, reached } => {
                self.outbox.control(space, &batches, reached, now, &mut self.outputs);
            }
            RelayInput::News { space, head } => self.outbox.news(space, head),
            RelayInput::AttachmentHeld { space, hash, held, len, head } => {
                let place = self.outbox.place(space);
                self.desk.held((space, hash), (held, len, head), place, &mut self.outputs);
            }
            RelayInput::AttachmentRefused { space, hash, refusal } => {
                self.desk.refused((space, hash), refusal, &mut self.outputs);
            }
            RelayInput::AttachmentBytes { space, hash, len, offset, bytes } => {
                self.desk.bytes((space, hash), (len, offset), bytes, now, &mut self.outputs);
            }
            RelayInput::AttachmentLacking { space, hash } => {
                self.desk.lacking((space, hash), &mut self.outputs);
            }
            RelayInput::AttachmentsSought { space, hashes } => self.sought(space, &hashes),
            RelayInput::Tick => self.tick(now),
            RelayInput::Close(code) => self.close(code),
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<RelayOutput> {
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
            (Phase::Listening, Message::Hello(hello)) => self.hello(&hello),
            (Phase::Listening, Message::Enrol(enrol)) => self.enrol(enrol),
            (Phase::Welcomed(transcript), Message::Proof(proof)) => {
                let transcript = transcript.clone();
                self.proof(&transcript, proof)
            }
            (Phase::Open, message) => self.open_message(message, now),
            _ => Err(CloseCode::Unexpected),
        }
    }

    fn hello(&mut self, hello: &Hello) -> Result<(), CloseCode> {
        let version = self.spoken.agree(hello.versions).ok_or(CloseCode::Version)?;
        let (welcome, transcript) =
            handshake::welcome(hello, &self.config.identity, version, self.config.nonce);
        // Claimed, and believed only with the proof: until then the phase lets nothing through.
        self.device = Some((hello.device, hello.incarnation));
        self.version = version;
        self.send(Message::Welcome(welcome));
        self.phase = Phase::Welcomed(transcript);
        Ok(())
    }

    fn proof(&mut self, transcript: &Transcript, proof: Proof) -> Result<(), CloseCode> {
        let (device, incarnation) = self.device.ok_or(CloseCode::Unexpected)?;
        handshake::check_proof(transcript, device, &proof).map_err(|_| CloseCode::Impersonation)?;
        let standing = proof.standing;
        let claims: Vec<Claim> = standing
            .spaces
            .into_iter()
            .map(|open| Claim { space: open.space, cursor: open.cursor, own_digest: open.own_digest })
            .collect();
        let is_named_twice =
            |(place, claim): (usize, &Claim)| claims[..place].iter().any(|other| other.space == claim.space);
        if claims.iter().enumerate().any(is_named_twice) {
            return Err(CloseCode::Unexpected);
        }
        let spaces = claims.iter().map(|claim| (claim.space, claim.cursor)).collect();
        self.outbox.expect(claims.iter().map(|claim| claim.space));
        self.outputs.push_back(RelayOutput::Open { device, incarnation, spaces });
        self.phase = Phase::Opening(claims, standing.unsent);
        Ok(())
    }

    fn opened(&mut self, spaces: Vec<OpenedSpace>) {
        let Phase::Opening(claims, unsent) = &self.phase else {
            return;
        };
        // Not before: a stranger's key is nobody that was heard of.
        if let Some((device, _)) = self.device {
            self.outputs.push_back(RelayOutput::Seen { device, unsent: *unsent });
        }
        assert_eq!(claims.len(), spaces.len(), "a room answers for exactly the spaces asked for");
        let mut chains_left = LINK_CHAINS_MAX;
        let mut states = Vec::with_capacity(spaces.len());
        for (claim, opened) in claims.iter().zip(spaces) {
            let (state, position) = state(claim, opened, self.device, &mut chains_left);
            self.outbox.open(claim.space, position);
            states.push(state);
        }
        self.send(Message::State(states));
        self.phase = Phase::Open;
    }

    fn enrol(&mut self, enrol: Enrol) -> Result<(), CloseCode> {
        self.spoken.agree(enrol.versions).ok_or(CloseCode::Version)?;
        handshake::check_enrol(&enrol, self.config.identity.device())
            .map_err(|_| CloseCode::Impersonation)?;
        let (token, device, label) = (enrol.token, enrol.device, enrol.label.clone());
        self.outputs.push_back(RelayOutput::Enrol { token, device, label });
        self.phase = Phase::Enrolling(enrol);
        Ok(())
    }

    fn enrolled(&mut self, membership: Enrolment) {
        let Phase::Enrolling(enrol) = &self.phase else {
            return;
        };
        let version = self.spoken.agree(enrol.versions).unwrap_or(self.spoken.highest);
        let enrolled = handshake::enrolled(enrol, &self.config.identity, version, membership);
        self.send(Message::Enrolled(enrolled));
        self.end(CloseReason::Here(CloseCode::Done));
    }

    fn open_message(&mut self, message: Message, now: Timestamp) -> Result<(), CloseCode> {
        match message {
            Message::Push { space, batch } => self.push(space, &batch, now)?,
            Message::Report { unsent } => {
                if let Some((device, _)) = self.device {
                    self.outputs.push_back(RelayOutput::Seen { device, unsent });
                }
            }
            Message::Ping { number } => self.send(Message::Pong { number }),
            Message::Pong { number } => self.outbox.taken_in(number, now)?,
            message if self.version >= Versions::ATTACHMENTS => self.attachment_message(message, now)?,
            _ => return Err(CloseCode::Unexpected),
        }
        Ok(())
    }

    fn attachment_message(&mut self, message: Message, now: Timestamp) -> Result<(), CloseCode> {
        let outbox = &self.outbox;
        let space = |place| outbox.space(place).ok_or(CloseCode::Unexpected);
        let (desk, outputs) = (&mut self.desk, &mut self.outputs);
        match message {
            Message::Offer { space: place, hash, len } => {
                desk.offer(place, (space(place)?, hash), len, outbox.is_restricted(place), outputs)
            }
            Message::Piece { space: place, hash, offset, bytes } => {
                desk.piece(place, (space(place)?, hash), offset, bytes, outputs)
            }
            Message::Fetch { space: place, hash, offset } => {
                desk.fetch(place, (space(place)?, hash), offset, outbox.is_restricted(place), outputs)
            }
            Message::Got { space: place, hash, .. } => desk.got((space(place)?, hash), now),
            _ => Err(CloseCode::Unexpected),
        }
    }

    /// A device that was revoked gives none and gets none.
    fn sought(&mut self, space: SpaceId, hashes: &[AttachmentHash]) {
        let place = self.outbox.place(space).filter(|place| !self.outbox.is_restricted(*place));
        let Some(place) = place.filter(|_| self.version >= Versions::ATTACHMENTS) else { return };
        if matches!(self.phase, Phase::Open) {
            say_sought(place, hashes, &mut self.outputs);
        }
    }

    fn push(&mut self, place: u8, bytes: &[u8], now: Timestamp) -> Result<(), CloseCode> {
        let space = self.outbox.space(place).ok_or(CloseCode::Unexpected)?;
        let batch = match SealedBatch::parse(bytes) {
            Ok(batch) => batch,
            Err(error) => return self.unreadable(bytes, error),
        };
        let untaken_len: usize = self.appending.values().sum();
        if untaken_len + bytes.len() > UNTAKEN_LEN_MAX {
            return Err(CloseCode::Overrun);
        }
        if batch.header().space != space || self.appending.contains_key(&batch.id()) {
            return Err(CloseCode::Unexpected);
        }
        self.pushed = Some(now);
        self.appending.insert(batch.id(), bytes.len());
        self.outputs.push_back(RelayOutput::Append { space, batch });
        Ok(())
    }

    /// One batch that cannot be read must not keep the device's other chains from being sent.
    fn unreadable(&mut self, bytes: &[u8], error: BatchError) -> Result<(), CloseCode> {
        let batch = unread_id(bytes).ok_or(CloseCode::BatchMalformed)?;
        self.send(Message::Answer { batch, verdict: Verdict::from(error) });
        Ok(())
    }

    fn appended(&mut self, batch: BatchId, verdict: Verdict) {
        if self.appending.remove(&batch).is_some() {
            self.send(Message::Answer { batch, verdict });
        }
    }

    fn tick(&mut self, now: Timestamp) {
        if matches!(self.phase, Phase::Open) {
            if now.millis_since(self.heard) >= LINK_IDLE_MS_MAX {
                self.close(CloseCode::Idle);
            }
        } else if now.millis_since(self.began) >= HANDSHAKE_MS_MAX {
            self.close(CloseCode::HandshakeTimeout);
        }
    }

    /// Draws the consequences of an input: what to read, and when to be woken.
    fn settle(&mut self, now: Timestamp) {
        // A clock set back must not silence the timers until it has caught up.
        self.heard = self.heard.min(now);
        self.began = self.began.min(now);
        self.pushed = self.pushed.map(|pushed| pushed.min(now));
        let deadline = match self.phase {
            Phase::Closed => return,
            Phase::Open => self.settle_open(now),
            _ => self.began.plus_millis(HANDSHAKE_MS_MAX),
        };
        if let Some(at) = self.alarm.set(deadline, now) {
            self.outputs.push_back(RelayOutput::WakeAt(at));
        }
    }

    fn settle_open(&mut self, now: Timestamp) -> Timestamp {
        let idle_at = self.heard.plus_millis(LINK_IDLE_MS_MAX);
        // While batches come, each moves the end of the log: one word about it at the end will do.
        let quiet_at = self.pushed.map(|pushed| pushed.plus_millis(REACHED_MS)).filter(|at| *at > now);
        let is_quiet = self.appending.is_empty() && quiet_at.is_none();
        if let Some(excluding) = self.device {
            self.outbox.settle(excluding, is_quiet, &mut self.outputs);
        }
        if self.outbox.lets_by(now) {
            self.desk.ask(&mut self.outputs);
        }
        quiet_at.filter(|_| self.outbox.is_untold()).map_or(idle_at, |quiet_at| quiet_at.min(idle_at))
    }

    fn send(&mut self, message: Message) {
        self.outputs.push_back(RelayOutput::Send(message.encode()));
    }

    fn close(&mut self, code: CloseCode) {
        self.send(Message::Close(code));
        self.end(CloseReason::Here(code));
    }

    fn end(&mut self, reason: CloseReason) {
        self.phase = Phase::Closed;
        self.outputs.push_back(RelayOutput::Closed(reason));
    }
}

/// Compares what a device claims with what the log knows: what to tell it, and where it really
/// stands in the log, unless it is no member.
fn state(
    claim: &Claim,
    opened: OpenedSpace,
    device: Option<(DeviceId, Incarnation)>,
    chains_left: &mut usize,
) -> (SpaceState, Option<Begin>) {
    let OpenedSpace::Member {
        log,
        head,
        at_cursor,
        len_after_cursor,
        len_total,
        watermark,
        is_revoked,
        quarantined,
        mut own,
    } = opened
    else {
        return (SpaceState::NotMember, None);
    };
    let held = claim
        .cursor
        .filter(|cursor| cursor.log == log && cursor.offset <= head && at_cursor == Some(cursor.digest));
    let is_known = own_digest(&own) == claim.own_digest;
    // The chains that still grow come first, should there be too many for one frame.
    own.sort_by_key(|chain| Some(chain.incarnation) != device.map(|(_, incarnation)| incarnation));
    own.truncate(*chains_left);
    if !is_known {
        *chains_left -= own.len();
    }
    let state = SpaceState::Open {
        log: held.is_none().then_some(log),
        head,
        len_after_cursor: if held.is_some() { len_after_cursor } else { len_total },
        watermark,
        is_revoked,
        quarantined,
        own: (!is_known).then_some(own),
    };
    let position = held.map_or(0, |cursor| cursor.offset);
    (state, Some(Begin { position, head, is_restricted: is_revoked }))
}
