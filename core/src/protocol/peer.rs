//! Two devices that meet: each gives the other what it lacks, over any stream of bytes.
//!
//! One has shown the other a code ([`crate::pairing`]); from then on both ends are the same machine.
//! Under Noise they find the spaces that both have, by tags that only who knows a space can make
//! out; then, of each, what the other lacks: control batches first, and of everything else the most
//! urgent first. Whatever a cut leaves undone, the next exchange finds: both ends compare what they
//! hold each time, and what was taken in is held.
//!
//! Control batches of a space go to whoever was let in by a person and knows the space, a revoked or
//! a new device too: it may be the only way in which it learns so. Everything else goes only to a
//! device that is a member by what this end knows *after* it has the other's control batches. Batches
//! are taken from anybody: their signatures decide.
//!
//! The inviting end says nothing before it has heard the joining end through the finished channel:
//! a stranger, or one who repeats what somebody else said, learns nothing, not even by lengths.

mod comparing;
mod gift;
mod message;
mod space;
mod takings;
mod voice;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::close::{CloseCode, CloseReason};
use super::message::Versions;
use super::timer::Alarm;
use crate::batch::SealedBatch;
use crate::clock::Timestamp;
use crate::id::{DeviceId, SpaceId};
use crate::identity::Identity;
use crate::limits::{
    FRAME_LEN_MAX, HANDSHAKE_MS_MAX, LINK_IDLE_MS_MAX, LINK_SPACES_MAX, PEER_CHAINS_MAX, PEER_READ_LEN_MAX,
};
use crate::noise::{Channel, Handshake, NoiseError, PeerKeys};
use crate::pairing::{Invitation, InvitationError, PairingCode};
use crate::position::Height;

use gift::{Gift, OnTheWay};
use message::PeerMessage;
use space::{CommonSpace, Theirs};
use takings::Takings;

pub use message::Tally;
#[doc(hidden)]
pub use voice::{PeerVoice, rewrite_peer};

const PROLOGUE: &[u8] = b"barid 2026 peer";

/// Which of the two ends this is.
#[derive(Debug, Clone)]
pub enum PeerRole {
    /// Has shown its code.
    Inviting(Arc<Invitation>),
    /// Has read the other's.
    Joining(PairingCode),
}

/// What a session is begun with.
#[derive(Debug)]
pub struct PeerSessionConfig {
    /// This device's key.
    pub identity: Arc<Identity>,
    /// Which end it is.
    pub role: PeerRole,
    /// Random, and used for no other session.
    pub ephemeral: [u8; 32],
    /// The spaces that this device has; of more than a link may carry, the first.
    pub spaces: Vec<SpaceId>,
}

/// What comes into a session.
#[derive(Debug)]
pub enum PeerInput {
    /// A frame from the other end, whole.
    Frame(Vec<u8>),
    /// The answer to a [`PeerOutput::WantStanding`].
    Standing {
        /// The space.
        space: SpaceId,
        /// Whether the other device is an active member that was not revoked.
        is_member: bool,
        /// What is held, of the chains asked for.
        heights: Vec<Height>,
    },
    /// The answer to a [`PeerOutput::Wanted`].
    Batches {
        /// The space.
        space: SpaceId,
        /// The next of what the other end lacks, the most urgent first and each chain in order.
        batches: Vec<SealedBatch>,
        /// There is nothing after these.
        exhausted: bool,
    },
    /// The answer to a [`PeerOutput::Ingest`].
    TakenIn {
        /// What became of the batches.
        tally: Tally,
    },
    /// The time asked for has come.
    Tick,
    /// This end has changed its mind.
    Cancel,
    /// This end failed, by its disk for example.
    Fail,
    /// The carrier broke.
    Cut,
}

/// What a session wants done.
#[derive(Debug)]
pub enum PeerOutput {
    /// Send this frame.
    Send(Vec<u8>),
    /// Say whether a device is a member of a space, and what is held of it.
    WantStanding {
        /// The space.
        space: SpaceId,
        /// The other device.
        peer: DeviceId,
        /// Only the chains of those who may sign control statements.
        control_only: bool,
    },
    /// Give the next batches above these heights.
    Wanted {
        /// The space.
        space: SpaceId,
        /// What the other end holds.
        heights: Vec<Height>,
        /// Only batches of the kind control.
        control_only: bool,
        /// So many bytes, but one batch at least.
        budget_len: usize,
    },
    /// Take these in, durably.
    Ingest {
        /// The space.
        space: SpaceId,
        /// The batches.
        batches: Vec<SealedBatch>,
    },
    /// How far both directions have come.
    Progress(PeerReport),
    /// A tick is wanted then.
    WakeAt(Timestamp),
    /// The session is over.
    Closed(CloseReason),
}

/// What was given and taken, so far and at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerReport {
    /// The other device, once it has proved that it is it.
    pub peer: Option<DeviceId>,
    /// Spaces that both devices have.
    pub spaces: u32,
    /// Of these, spaces of which the other device gets control batches alone.
    pub control_only: u32,
    /// What became of the batches given, by the other end's word.
    pub given: Tally,
    /// Their bytes.
    pub given_len: u64,
    /// Batches to give in all, as far as is known.
    pub to_give: u64,
    /// What became of the batches that came.
    pub taken: Tally,
    /// Their bytes.
    pub taken_len: u64,
    /// Batches to take in all, as far as is known.
    pub to_take: u64,
    /// Both ends have given everything, and know that it was taken in.
    pub is_complete: bool,
}

#[derive(Debug)]
enum Phase {
    /// The joining end waits for the answer, the inviting end for the first frame.
    Handshake,
    /// The inviting end has answered and waits to hear that the other end has understood.
    Confirm,
    /// This end has said its spaces and waits for the other's.
    Spaces,
    Control,
    Data,
    Over,
}

/// One end of an exchange between two devices.
pub struct PeerSession {
    identity: Arc<Identity>,
    role: PeerRole,
    ephemeral: [u8; 32],
    own_spaces: Vec<SpaceId>,
    phase: Phase,
    handshake: Option<Handshake>,
    channel: Option<Channel>,
    salt: [u8; 32],
    spaces: Vec<CommonSpace>,
    /// Chains of which this end may still say its heights, and hear the other's.
    chains_left: (usize, usize),
    on_the_way: OnTheWay,
    takings: Takings,
    /// What the other end lacks is being looked for once more.
    looks_again: bool,
    control_done: (bool, bool),
    done: (bool, bool),
    report: PeerReport,
    begun: Timestamp,
    heard: Timestamp,
    alarm: Alarm,
    outputs: VecDeque<PeerOutput>,
}

impl fmt::Debug for PeerSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerSession")
            .field("phase", &self.phase)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}

impl PeerSession {
    /// Begins a session; its first frame, if it has one, is ready.
    pub fn new(config: PeerSessionConfig, now: Timestamp) -> Self {
        let mut session = Self::unbegun(config, now);
        if let Err(code) = session.begin() {
            session.close(code);
        }
        session.set_alarm(now);
        session
    }

    fn unbegun(config: PeerSessionConfig, now: Timestamp) -> Self {
        let PeerSessionConfig { identity, role, ephemeral, mut spaces } = config;
        spaces.truncate(LINK_SPACES_MAX);
        Self {
            identity,
            role,
            ephemeral,
            own_spaces: spaces,
            phase: Phase::Handshake,
            handshake: None,
            channel: None,
            salt: [0; 32],
            spaces: Vec::new(),
            chains_left: (PEER_CHAINS_MAX, PEER_CHAINS_MAX),
            on_the_way: OnTheWay::default(),
            takings: Takings::default(),
            looks_again: false,
            control_done: (false, false),
            done: (false, false),
            report: PeerReport::default(),
            begun: now,
            heard: now,
            alarm: Alarm::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input in.
    pub fn handle(&mut self, input: PeerInput, now: Timestamp) {
        if matches!(self.phase, Phase::Over) {
            // What came before the end is counted, though nobody is told any more.
            if let PeerInput::TakenIn { tally } = input {
                self.takings.taken_in(&tally);
                self.count_taken();
            }
            return;
        }
        let handled = match input {
            PeerInput::Frame(frame) => {
                self.heard = now;
                self.frame(&frame, now)
            }
            PeerInput::Standing { space, is_member, heights } => {
                self.stand(space, is_member, heights);
                Ok(())
            }
            PeerInput::Batches { space, batches, exhausted } => {
                let gift = self.spaces.iter_mut().find(|common| common.id == space);
                if let Some(gift) = gift.and_then(|common| common.gift.as_mut()) {
                    gift.offer(batches, exhausted);
                }
                Ok(())
            }
            PeerInput::TakenIn { tally } => {
                self.taken_in(&tally);
                Ok(())
            }
            PeerInput::Tick => self.tick(now),
            PeerInput::Cancel => Err(CloseCode::Done),
            PeerInput::Fail => Err(CloseCode::Failed),
            PeerInput::Cut => {
                // What came whole is kept: the other end will not have to send it again.
                self.take_in_rest();
                self.end(CloseReason::Cut);
                Ok(())
            }
        };
        match handled {
            Ok(()) => self.advance(),
            Err(code) => self.close(code),
        }
        self.set_alarm(now);
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<PeerOutput> {
        self.outputs.pop_front()
    }

    /// What was given and taken so far.
    pub fn report(&self) -> PeerReport {
        self.report
    }

    fn begin(&mut self) -> Result<(), CloseCode> {
        let PeerRole::Joining(code) = &self.role else { return Ok(()) };
        let (psk, inviter) = (code.psk(), code.inviter);
        let versions = Versions::PEERS;
        let keys = PeerKeys {
            identity: &self.identity,
            psk: &psk,
            prologue: &prologue(versions),
            ephemeral: self.ephemeral,
        };
        let mut handshake = Handshake::joining(&keys, inviter).map_err(|_| CloseCode::Impersonation)?;
        let written = handshake.write(self.identity.device().as_bytes());
        let mut frame = vec![versions.lowest, versions.highest];
        frame.extend(written.map_err(|_| CloseCode::Impersonation)?);
        self.handshake = Some(handshake);
        self.outputs.push_back(PeerOutput::Send(frame));
        Ok(())
    }

    fn frame(&mut self, frame: &[u8], now: Timestamp) -> Result<(), CloseCode> {
        match (&self.phase, &self.role) {
            (Phase::Handshake, PeerRole::Inviting(invitation)) => {
                let invitation = Arc::clone(invitation);
                self.answer(&invitation, frame, now)
            }
            (Phase::Handshake, PeerRole::Joining(code)) => {
                let inviter = code.inviter;
                self.join(inviter, frame)
            }
            _ => {
                let channel = self.channel.as_mut().expect("a channel is there after the handshake");
                let Some(said) = channel.open(frame)? else { return Ok(()) };
                if let (Phase::Confirm, PeerRole::Inviting(invitation)) = (&self.phase, &self.role) {
                    // Only now: who repeats another's first frame must not use the code up.
                    invitation.use_up(now)?;
                }
                self.message(PeerMessage::decode(&said)?)
            }
        }
    }

    /// The inviting end reads the first frame and answers.
    fn answer(&mut self, invitation: &Invitation, frame: &[u8], now: Timestamp) -> Result<(), CloseCode> {
        let [lowest, highest, message @ ..] = frame else { return Err(CloseCode::Malformed) };
        let theirs = Versions { lowest: *lowest, highest: *highest };
        let Some(version) = Versions::PEERS.agree(theirs).filter(|_| lowest <= highest) else {
            let spoken = Versions::PEERS;
            self.outputs.push_back(PeerOutput::Send(vec![spoken.lowest, spoken.highest]));
            return Err(CloseCode::Version);
        };
        invitation.check(now)?;
        let psk = invitation.code().psk();
        let keys = PeerKeys {
            identity: &self.identity,
            psk: &psk,
            prologue: &prologue(theirs),
            ephemeral: self.ephemeral,
        };
        let mut handshake = Handshake::inviting(&keys).map_err(|_| CloseCode::Impersonation)?;
        let said = handshake.read(message).map_err(|_| CloseCode::Impersonation)?;
        let peer = DeviceId::from_slice(&said).filter(|peer| handshake.is_with(*peer));
        self.report.peer = Some(peer.ok_or(CloseCode::Impersonation)?);
        let frame = handshake.write(&[version]).map_err(|_| CloseCode::Impersonation)?;
        self.outputs.push_back(PeerOutput::Send(frame));
        self.shaken(handshake, Phase::Confirm)
    }

    /// The joining end reads the answer and says its spaces.
    fn join(&mut self, inviter: DeviceId, frame: &[u8]) -> Result<(), CloseCode> {
        let spoken = Versions::PEERS;
        if let [lowest, highest] = *frame {
            let theirs = Versions { lowest, highest };
            let agreed = spoken.agree(theirs);
            return Err(if agreed.is_none() { CloseCode::Version } else { CloseCode::Impersonation });
        }
        let mut handshake = self.handshake.take().expect("the joining end has begun a handshake");
        let said = handshake.read(frame).map_err(|_| CloseCode::Impersonation)?;
        if !matches!(said[..], [version] if spoken.contains(version)) {
            return Err(CloseCode::Malformed);
        }
        self.report.peer = Some(inviter);
        self.shaken(handshake, Phase::Spaces)?;
        self.say_spaces();
        Ok(())
    }

    fn shaken(&mut self, handshake: Handshake, phase: Phase) -> Result<(), CloseCode> {
        self.salt = handshake.hash();
        self.channel = Some(handshake.into_channel(FRAME_LEN_MAX)?);
        self.phase = phase;
        Ok(())
    }

    fn message(&mut self, message: PeerMessage) -> Result<(), CloseCode> {
        match (&self.phase, message) {
            (_, PeerMessage::Close(code)) => {
                self.take_in_rest();
                self.end(CloseReason::There(code));
            }
            (Phase::Confirm | Phase::Spaces, PeerMessage::Spaces(tags)) => self.compare(&tags)?,
            (Phase::Control | Phase::Data, PeerMessage::Heights(heights)) => self.heights(heights)?,
            (Phase::Control | Phase::Data, PeerMessage::Batch { space, batch }) => {
                let is_control = matches!(self.phase, Phase::Control);
                let id = self.common(space)?.id;
                self.takings.batch(id, batch, is_control)?;
            }
            (Phase::Control | Phase::Data, PeerMessage::Take) => self.take_in(),
            (Phase::Control | Phase::Data, PeerMessage::Taken { len, tally }) => {
                if !self.on_the_way.taken(len) {
                    return Err(CloseCode::Unexpected);
                }
                self.report.given.add(&tally);
                self.report.given_len += len;
                self.outputs.push_back(PeerOutput::Progress(self.report));
            }
            (Phase::Control, PeerMessage::ControlDone) if !self.control_done.1 => self.control_done.1 = true,
            (Phase::Data, PeerMessage::Opened { space, digest }) => {
                let common = self.common(space)?;
                if common.theirs.replace(Theirs { digest }).is_some() {
                    return Err(CloseCode::Unexpected);
                }
                self.settle(space)?;
            }
            (Phase::Data, PeerMessage::Done) if !self.done.1 => self.done.1 = true,
            _ => return Err(CloseCode::Unexpected),
        }
        Ok(())
    }

    /// Hands what came to the store.
    fn take_in(&mut self) {
        while let Some((space, batches)) = self.takings.next_group() {
            self.outputs.push_back(PeerOutput::Ingest { space, batches });
        }
        self.say_taken();
    }

    /// The same at the end of a link, where nobody hears of it.
    fn take_in_rest(&mut self) {
        while let Some((space, batches)) = self.takings.next_group() {
            self.outputs.push_back(PeerOutput::Ingest { space, batches });
        }
    }

    fn taken_in(&mut self, tally: &Tally) {
        self.takings.taken_in(tally);
        // Something else may be to give now: the branch that stands here, where a longer one of the other end
        // fell; what was written again here, because what it built on fell. The other end may go once it
        // hears that all is in, so it is given before.
        if tally.taken + tally.quarantined > 0 && matches!(self.phase, Phase::Data) {
            self.spaces.iter_mut().filter_map(|common| common.gift.as_mut()).for_each(Gift::look_again);
            self.looks_again = true;
            return;
        }
        self.say_taken();
    }

    /// Tells the other end once everything up to its take is in.
    fn say_taken(&mut self) {
        if self.looks_again {
            return;
        }
        if let Some((len, tally)) = self.count_taken() {
            self.send(&PeerMessage::Taken { len, tally });
            self.outputs.push_back(PeerOutput::Progress(self.report));
        }
    }

    fn count_taken(&mut self) -> Option<(u64, Tally)> {
        let (len, tally) = self.takings.answer()?;
        self.report.taken.add(&tally);
        self.report.taken_len += len;
        Some((len, tally))
    }

    /// Does what can be done now.
    fn advance(&mut self) {
        if !matches!(self.phase, Phase::Control | Phase::Data) {
            return;
        }
        self.give();
        if self.spaces.iter().any(|common| common.gift.as_ref().is_some_and(Gift::is_asked)) {
            return;
        }
        if std::mem::take(&mut self.looks_again) {
            self.say_taken();
        }
        let is_given = self.spaces.iter().all(CommonSpace::is_given);
        if matches!(self.phase, Phase::Control) {
            if is_given && !self.control_done.0 {
                self.control_done.0 = true;
                self.send(&PeerMessage::ControlDone);
            }
            // Who the other device is may have been among what it gave.
            if self.control_done == (true, true) && self.takings.is_empty() {
                self.phase = Phase::Data;
                self.chains_left = (PEER_CHAINS_MAX, PEER_CHAINS_MAX);
                self.spaces.iter_mut().for_each(CommonSpace::begin_data);
                self.want_standings(false);
                // With no space in common there is nothing to answer.
                if self.spaces.is_empty() {
                    self.finish();
                }
            }
            return;
        }
        if is_given && self.on_the_way.is_empty() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if !self.done.0 {
            self.done.0 = true;
            self.send(&PeerMessage::Done);
        }
        if self.done == (true, true) && self.takings.is_empty() {
            self.report.is_complete = true;
            self.end(CloseReason::Here(CloseCode::Done));
        }
    }

    /// Sends what goes next, while there is room for it.
    fn give(&mut self) {
        let control_only = matches!(self.phase, Phase::Control);
        let budget_len = (PEER_READ_LEN_MAX / self.spaces.len().max(1)).max(1);
        loop {
            for common in &mut self.spaces {
                let (Some(gift), space) = (&mut common.gift, common.id) else { continue };
                if gift.ask() {
                    let heights = gift.heights();
                    self.outputs.push_back(PeerOutput::Wanted { space, heights, control_only, budget_len });
                }
            }
            let gifts = || self.spaces.iter().filter_map(|common| common.gift.as_ref());
            if gifts().any(Gift::is_asked) {
                return;
            }
            let most_urgent = (0..self.spaces.len())
                .filter_map(|at| Some((self.spaces[at].gift.as_ref()?.urgency()?, at)))
                .min();
            let Some((_, at)) = most_urgent.filter(|_| self.on_the_way.has_room()) else { break };
            let common = &mut self.spaces[at];
            let place = common.place;
            let Some(batch) = common.gift.as_mut().and_then(Gift::next) else { break };
            let len = batch.as_bytes().len();
            self.send(&PeerMessage::Batch { space: place, batch: batch.as_bytes().to_vec() });
            if self.on_the_way.send(len) {
                self.on_the_way.mark();
                self.send(&PeerMessage::Take);
            }
        }
        if self.on_the_way.is_unmarked() {
            self.on_the_way.mark();
            self.send(&PeerMessage::Take);
        }
    }

    fn send(&mut self, message: &PeerMessage) {
        let Some(channel) = &mut self.channel else { return };
        match channel.seal(&message.encode()) {
            Ok(frames) => self.outputs.extend(frames.into_iter().map(PeerOutput::Send)),
            // After 2⁶⁴ messages.
            Err(_) => self.end(CloseReason::Here(CloseCode::Failed)),
        }
    }

    fn tick(&mut self, now: Timestamp) -> Result<(), CloseCode> {
        if now < self.deadline() {
            return Ok(());
        }
        Err(match self.phase {
            Phase::Handshake | Phase::Confirm => CloseCode::HandshakeTimeout,
            _ => CloseCode::Idle,
        })
    }

    fn deadline(&self) -> Timestamp {
        match self.phase {
            Phase::Handshake | Phase::Confirm => self.begun.plus_millis(HANDSHAKE_MS_MAX),
            _ => self.heard.plus_millis(LINK_IDLE_MS_MAX),
        }
    }

    fn set_alarm(&mut self, now: Timestamp) {
        if matches!(self.phase, Phase::Over) {
            return;
        }
        if let Some(at) = self.alarm.set(self.deadline(), now) {
            self.outputs.push_back(PeerOutput::WakeAt(at));
        }
    }

    /// Ends the session by this end's decision. To whom the handshake was not finished with, nothing
    /// is said.
    fn close(&mut self, code: CloseCode) {
        self.take_in_rest();
        if !matches!(self.phase, Phase::Handshake | Phase::Confirm) {
            self.send(&PeerMessage::Close(code));
        }
        self.end(CloseReason::Here(code));
    }

    fn end(&mut self, reason: CloseReason) {
        if !matches!(self.phase, Phase::Over) {
            self.phase = Phase::Over;
            self.outputs.push_back(PeerOutput::Closed(reason));
        }
    }
}

fn prologue(versions: Versions) -> Vec<u8> {
    [PROLOGUE, &[0, versions.lowest, versions.highest]].concat()
}

impl From<NoiseError> for CloseCode {
    fn from(error: NoiseError) -> Self {
        match error {
            NoiseError::Unauthentic | NoiseError::Malformed => Self::Malformed,
            NoiseError::TooLong => Self::TooLarge,
        }
    }
}

impl From<InvitationError> for CloseCode {
    fn from(error: InvitationError) -> Self {
        match error {
            InvitationError::Expired => Self::PairingExpired,
            InvitationError::Used => Self::PairingUsed,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
