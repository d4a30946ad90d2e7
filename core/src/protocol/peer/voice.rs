//! An end that says what it likes: what a device with the code, or a program that took its place, can
//! do once the handshake is over. For tests outside of this crate; no program of ours speaks so.

use std::sync::Arc;

use super::super::close::CloseCode;
use super::comparing::tag;
use super::message::PeerMessage;
use super::{PeerInput, PeerOutput, PeerRole, PeerSession, PeerSessionConfig, Phase};
use crate::clock::Timestamp;
use crate::id::DeviceId;
use crate::identity::Identity;
use crate::limits::FRAME_LEN_MAX;
use crate::noise::Channel;
use crate::pairing::Invitation;

/// One end's half of a finished handshake.
#[doc(hidden)]
#[derive(Debug)]
pub struct PeerVoice {
    channel: Channel,
    salt: [u8; 32],
    peer: DeviceId,
}

impl PeerVoice {
    /// Both halves of a real handshake: the inviting end's and the joining end's.
    pub fn pair(inviting: &Arc<Identity>, joining: &Arc<Identity>, now: Timestamp) -> Option<(Self, Self)> {
        let invitation = Arc::new(Invitation::new(inviting.device(), [0xab; 16], now));
        let code = invitation.code().clone();
        let begin = |identity: &Arc<Identity>, role| {
            let (identity, spaces) = (Arc::clone(identity), Vec::new());
            PeerSession::new(PeerSessionConfig { identity, role, ephemeral: [0x5a; 32], spaces }, now)
        };
        let mut one = begin(inviting, PeerRole::Inviting(invitation));
        let mut other = begin(joining, PeerRole::Joining(code));
        one.handle(PeerInput::Frame(first_frame(&mut other)?), now);
        // Only the handshake's own two messages: what an end says of itself would be ahead.
        let answer = first_frame(&mut one)?;
        let mut handshake = other.handshake.take()?;
        handshake.read(&answer).ok()?;
        let salt = handshake.hash();
        let channel = handshake.into_channel(FRAME_LEN_MAX).ok()?;
        let joined = Self { channel, salt, peer: inviting.device() };
        Some((Self::of(one)?, joined))
    }

    /// What a session has left of its channel.
    pub fn of(session: PeerSession) -> Option<Self> {
        let PeerSession { channel, salt, report, .. } = session;
        let mut channel = channel?;
        channel.forget_partial();
        Some(Self { channel, salt, peer: report.peer? })
    }

    /// A session from here on: a joining one has just read the answer, an inviting one waits to hear
    /// that it was read.
    pub fn session(self, config: PeerSessionConfig, now: Timestamp) -> PeerSession {
        let mut session = PeerSession::unbegun(config, now);
        session.channel = Some(self.channel);
        session.salt = self.salt;
        session.report.peer = Some(self.peer);
        match session.role {
            PeerRole::Inviting(_) => session.phase = Phase::Confirm,
            PeerRole::Joining(_) => {
                session.phase = Phase::Spaces;
                session.say_spaces();
            }
        }
        session.set_alarm(now);
        session
    }

    /// The frames that say this, whatever it is; nothing is said by no bytes.
    pub fn say(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        if bytes.is_empty() { Vec::new() } else { self.channel.seal(bytes).unwrap_or_default() }
    }

    /// What the other end said, once it is whole.
    pub fn hear(&mut self, frame: &[u8]) -> Result<Option<Vec<u8>>, CloseCode> {
        Ok(self.channel.open(frame)?)
    }

    /// How this end says which spaces it has, in the message's own bytes.
    pub fn spaces(&self, spaces: &[crate::id::SpaceId]) -> Vec<u8> {
        PeerMessage::Spaces(spaces.iter().map(|space| tag(&self.salt, *space)).collect()).encode()
    }
}

fn first_frame(session: &mut PeerSession) -> Option<Vec<u8>> {
    std::iter::from_fn(|| session.poll_output()).find_map(|output| match output {
        PeerOutput::Send(frame) => Some(frame),
        _ => None,
    })
}

/// Reads a message between devices and writes what was read, for whoever checks that it has one form
/// only.
#[doc(hidden)]
pub fn rewrite_peer(message: &[u8]) -> Result<Vec<u8>, CloseCode> {
    Ok(PeerMessage::decode(message)?.encode())
}
