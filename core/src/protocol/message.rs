//! What the two ends say to each other, and its bytes: one message is one frame.
//!
//! A frame is a type byte and a payload. Reading is strict: exactly the bytes that writing makes
//! are read, so a message has one form only. `core/PROTOCOL.md` lists every byte.

use std::fmt;

use super::close::CloseCode;
use crate::batch::Lane;
use crate::codec::{ReadError, Reader, put_varint};
use crate::control::{QuarantineReason, RefuseReason, RetryReason, Verdict};
use crate::id::{BatchId, DeviceId, Incarnation, LogDigest, LogId, OrganisationId, SpaceId};
use crate::limits::{FRAME_LEN_MAX, LABEL_LEN_MAX, LINK_CHAINS_MAX, LINK_SPACES_MAX, NAME_LEN_MAX};
use crate::position::OwnChain;

/// A frame's bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    /// Nothing at all.
    #[error("a frame is empty")]
    Empty,
    /// More than [`FRAME_LEN_MAX`].
    #[error("a frame has {0} bytes, more than any may have")]
    TooLarge(usize),
    /// A type byte that this version does not know.
    #[error("no message has the type {0:#04x}")]
    UnknownType(u8),
    /// A field has no end, or a varint is not in its shortest form.
    #[error("a frame ends in the middle of a field, or holds a malformed number")]
    Field,
    /// Bytes follow the last field.
    #[error("a frame goes on after its last field")]
    Trailing,
    /// A count or a length is beyond its bound.
    #[error("a count or a length is beyond its bound")]
    TooMany,
    /// A flag, a lane or another small number has a value that means nothing.
    #[error("a field has a value that means nothing")]
    Value,
    /// A first frame of an end that speaks none of the versions spoken here.
    #[error("the other end speaks no version that is spoken here")]
    Version,
    /// Text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
}

impl From<ReadError> for DecodeError {
    fn from(_: ReadError) -> Self {
        Self::Field
    }
}

/// The protocol versions that one end speaks, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    /// The oldest.
    pub(super) lowest: u8,
    /// The newest.
    pub(super) highest: u8,
}

impl Versions {
    /// What this build speaks. Version 0 lasts until the format is frozen.
    pub(super) const SPOKEN: Self = Self { lowest: 0, highest: 0 };

    /// The newest version that both ends speak.
    pub(super) fn agree(self, other: Self) -> Option<u8> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }

    /// Whether this version is among them.
    pub(super) fn contains(self, version: u8) -> bool {
        (self.lowest..=self.highest).contains(&version)
    }
}

/// The first frame of a device that is enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    /// What the device speaks.
    pub(super) versions: Versions,
    /// Who it says it is.
    pub(super) device: DeviceId,
    /// Which of its database files.
    pub(super) incarnation: Incarnation,
    /// Fresh for this link.
    pub(super) nonce: [u8; 16],
}

/// The relay's answer to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Welcome {
    /// The version that the link speaks from here on.
    pub(super) version: u8,
    /// Fresh for this link.
    pub(super) nonce: [u8; 16],
    /// By the relay's key, over the transcript.
    pub(super) signature: [u8; 64],
}

/// How far a device says it holds a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorClaim {
    /// The log.
    pub log: LogId,
    /// The offset.
    pub offset: u64,
    /// What the log is up to there.
    pub digest: LogDigest,
}

/// A space that a device wants to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    /// The space.
    pub(super) space: SpaceId,
    /// Where the device stands in the relay's log; none before its first batch.
    pub(super) cursor: Option<CursorClaim>,
    /// What it believes the relay holds of its own chains: [`crate::position::own_digest`].
    pub(super) own_digest: [u8; 16],
}

/// The device's proof, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    /// By the device's key, over the transcript and the rest of this message.
    pub(super) signature: [u8; 64],
    /// Where the device stands.
    pub(super) standing: Standing,
}

/// What a device says about itself once the relay has proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// Records with changes that the relay does not hold.
    pub(super) unsent: u64,
    /// The spaces it wants to open; later frames name them by their place here.
    pub(super) spaces: Vec<Open>,
}

/// Where the relay stands in one space that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SpaceState {
    /// The device is no member of it.
    NotMember,
    /// It is open.
    Open {
        /// The relay's log, said only when the cursor does not hold.
        log: Option<LogId>,
        /// The last offset of the log; 0 when it is empty.
        head: u64,
        /// Bytes of the batches that will be sent to reach it, at most.
        len_after_cursor: u64,
        /// The offset up to which the relay's newest backup has the log; 0 without one.
        watermark: u64,
        /// The device was revoked here: it gets control batches and nothing else.
        is_revoked: bool,
        /// How many of the device's own batches are in quarantine.
        quarantined: u64,
        /// What the relay holds of the device's own chains, said only when the digest differs.
        own: Option<Vec<OwnChain>>,
    },
}

/// The first frame of a device that has an enrolment code.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Enrol {
    /// What the device speaks.
    pub(super) versions: Versions,
    /// The code's token.
    pub(super) token: [u8; 16],
    /// The key to enrol.
    pub(super) device: DeviceId,
    /// Fresh for this link.
    pub(super) nonce: [u8; 16],
    /// By the device's key, over the rest of this message and the relay's key.
    pub(super) signature: [u8; 64],
    /// What people call the device.
    pub(super) label: String,
}

/// The relay has enrolled the device.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Enrolled {
    /// The version that the answer speaks.
    pub(super) version: u8,
    /// By the relay's key, over the request and the rest of this message.
    pub(super) signature: [u8; 64],
    /// What the device belongs to now.
    pub(super) membership: Enrolment,
}

/// What a device belongs to once it is enrolled.
#[derive(Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Its organisation.
    pub organisation: OrganisationId,
    /// The organisation's name in Arabic.
    pub name_ar: String,
    /// The organisation's name in English.
    pub name_en: String,
    /// The spaces it may write to, the usual one first.
    pub spaces: Vec<SpaceId>,
}

/// One message; its frame is [`Message::encode`].
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// Device: who it is.
    Hello(Hello),
    /// Relay: who it is.
    Welcome(Welcome),
    /// Device: proves it, and says where it stands.
    Proof(Proof),
    /// Relay: where it stands, for each space asked for.
    State(Vec<SpaceState>),
    /// Device: a batch.
    Push {
        /// The space, by its place in the proof.
        space: u8,
        /// The batch as sealed.
        batch: Vec<u8>,
    },
    /// Relay: what became of a batch. Accepted means durable, and has a frame of its own.
    Answer {
        /// The batch.
        batch: BatchId,
        /// The verdict.
        verdict: Verdict,
    },
    /// Relay: a batch of the log.
    Batch {
        /// The space, by its place in the proof.
        space: u8,
        /// Its offset.
        offset: u64,
        /// What the log is up to there.
        digest: LogDigest,
        /// The batch as sealed.
        batch: Vec<u8>,
    },
    /// Relay: a control batch of the log, ahead of its turn.
    Control {
        /// The space, by its place in the proof.
        space: u8,
        /// The batch as sealed.
        batch: Vec<u8>,
    },
    /// Relay: the cursor moves without a batch, over the device's own.
    Reached {
        /// The space, by its place in the proof.
        space: u8,
        /// The offset.
        offset: u64,
        /// What the log is up to there.
        digest: LogDigest,
    },
    /// Either: answer this. From the relay it also ends a group of batches.
    Ping {
        /// Comes back in the answer.
        number: u64,
    },
    /// Either: everything that came before the ping has been taken in.
    Pong {
        /// The ping's number.
        number: u64,
    },
    /// Device: how many records the relay does not hold yet.
    Report {
        /// Records.
        unsent: u64,
    },
    /// Device: asks to be enrolled.
    Enrol(Enrol),
    /// Relay: enrolled.
    Enrolled(Enrolled),
    /// Either: the last frame.
    Close(CloseCode),
}

mod kind {
    pub(super) const HELLO: u8 = 0x01;
    pub(super) const WELCOME: u8 = 0x02;
    pub(super) const PROOF: u8 = 0x03;
    pub(super) const STATE: u8 = 0x04;
    pub(super) const PUSH: u8 = 0x10;
    pub(super) const ACK: u8 = 0x11;
    pub(super) const ANSWER: u8 = 0x12;
    pub(super) const BATCH: u8 = 0x18;
    pub(super) const REACHED: u8 = 0x19;
    pub(super) const CONTROL: u8 = 0x1a;
    pub(super) const PING: u8 = 0x20;
    pub(super) const PONG: u8 = 0x21;
    pub(super) const REPORT: u8 = 0x22;
    pub(super) const ENROL: u8 = 0x30;
    pub(super) const ENROLLED: u8 = 0x31;
    pub(super) const CLOSE: u8 = 0x7f;
}

const ANSWER_RETRY: u8 = 1;
const ANSWER_REFUSED: u8 = 2;
const ANSWER_QUARANTINED: u8 = 3;
const FLAG_MEMBER: u8 = 1;
const FLAG_LOG: u8 = 2;
const FLAG_OWN: u8 = 4;
const FLAG_REVOKED: u8 = 8;
const FLAG_QUARANTINED: u8 = 16;
const FLAGS_MAX: u8 = 31;

impl Message {
    /// The message's frame.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Hello(hello) => {
                out.extend([kind::HELLO, hello.versions.lowest, hello.versions.highest]);
                out.extend(hello.device.as_bytes());
                out.extend(hello.incarnation.as_bytes());
                out.extend(hello.nonce);
            }
            Self::Welcome(welcome) => {
                out.extend([kind::WELCOME, welcome.version]);
                out.extend(welcome.nonce);
                out.extend(welcome.signature);
            }
            Self::Proof(proof) => {
                out.push(kind::PROOF);
                out.extend(proof.signature);
                proof.standing.encode(&mut out);
            }
            Self::State(spaces) => {
                out.push(kind::STATE);
                put_varint(&mut out, spaces.len() as u64);
                spaces.iter().for_each(|space| space.encode(&mut out));
            }
            Self::Push { space, batch } => return push_frame(*space, batch),
            Self::Answer { batch, verdict } => {
                let (kind, reason) = match verdict {
                    Verdict::Accepted => (kind::ACK, None),
                    Verdict::RetryLater(reason) => (kind::ANSWER, Some([ANSWER_RETRY, reason.code()])),
                    Verdict::Refused(reason) => (kind::ANSWER, Some([ANSWER_REFUSED, reason.code()])),
                    Verdict::Quarantined(reason) => (kind::ANSWER, Some([ANSWER_QUARANTINED, reason.code()])),
                };
                out.push(kind);
                out.extend(batch.as_bytes());
                out.extend(reason.into_iter().flatten());
            }
            Self::Batch { space, offset, digest, batch } => {
                return batch_frame(*space, *offset, *digest, batch);
            }
            Self::Control { space, batch } => return control_frame(*space, batch),
            Self::Reached { space, offset, digest } => {
                out.extend([kind::REACHED, *space]);
                put_varint(&mut out, *offset);
                out.extend(digest.as_bytes());
            }
            Self::Ping { number } => number_frame(&mut out, kind::PING, *number),
            Self::Pong { number } => number_frame(&mut out, kind::PONG, *number),
            Self::Report { unsent } => number_frame(&mut out, kind::REPORT, *unsent),
            Self::Enrol(enrol) => {
                out.extend([kind::ENROL, enrol.versions.lowest, enrol.versions.highest]);
                out.extend(enrol.signature);
                enrol.request(&mut out);
            }
            Self::Enrolled(enrolled) => {
                out.extend([kind::ENROLLED, enrolled.version]);
                out.extend(enrolled.signature);
                enrolled.membership.encode(&mut out);
            }
            Self::Close(code) => out.extend([kind::CLOSE, code.to_u8()]),
        }
        out
    }

    /// Reads a frame.
    pub(super) fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
        if frame.len() > FRAME_LEN_MAX {
            return Err(DecodeError::TooLarge(frame.len()));
        }
        let (&kind, payload) = frame.split_first().ok_or(DecodeError::Empty)?;
        let mut reader = Reader::new(payload);
        let message = Self::decode_payload(kind, &mut reader)?;
        if reader.is_empty() { Ok(message) } else { Err(DecodeError::Trailing) }
    }

    fn decode_payload(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            kind::HELLO => Self::Hello(Hello {
                versions: Versions::decode(reader)?,
                device: DeviceId::from_bytes(reader.array()?),
                incarnation: Incarnation::from_bytes(reader.array()?),
                nonce: reader.array()?,
            }),
            kind::WELCOME => Self::Welcome(Welcome {
                version: reader.u8()?,
                nonce: reader.array()?,
                signature: reader.array()?,
            }),
            kind::PROOF => {
                Self::Proof(Proof { signature: reader.array()?, standing: Standing::decode(reader)? })
            }
            kind::STATE => Self::State(decode_state(reader)?),
            kind::PUSH => Self::Push { space: reader.u8()?, batch: rest(reader)? },
            kind::ACK => {
                Self::Answer { batch: BatchId::from_bytes(reader.array()?), verdict: Verdict::Accepted }
            }
            kind::ANSWER => {
                Self::Answer { batch: BatchId::from_bytes(reader.array()?), verdict: decode_verdict(reader)? }
            }
            kind::BATCH => Self::Batch {
                space: reader.u8()?,
                offset: reader.varint()?,
                digest: LogDigest::from_bytes(reader.array()?),
                batch: rest(reader)?,
            },
            kind::CONTROL => Self::Control { space: reader.u8()?, batch: rest(reader)? },
            kind::REACHED => Self::Reached {
                space: reader.u8()?,
                offset: reader.varint()?,
                digest: LogDigest::from_bytes(reader.array()?),
            },
            kind::PING => Self::Ping { number: reader.varint()? },
            kind::PONG => Self::Pong { number: reader.varint()? },
            kind::REPORT => Self::Report { unsent: reader.varint()? },
            kind::ENROL => Self::Enrol(Enrol::decode(reader)?),
            kind::ENROLLED => Self::Enrolled(Enrolled {
                version: reader.u8()?,
                signature: reader.array()?,
                membership: Enrolment::decode(reader)?,
            }),
            kind::CLOSE => Self::Close(CloseCode::from_u8(reader.u8()?)),
            other => return Err(DecodeError::UnknownType(other)),
        })
    }
}

/// The frame of a [`Message::Push`], without copying the batch twice.
pub(super) fn push_frame(space: u8, batch: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + batch.len());
    out.extend([kind::PUSH, space]);
    out.extend(batch);
    out
}

/// The frame of a [`Message::Batch`], without copying the batch twice.
pub(super) fn batch_frame(space: u8, offset: u64, digest: LogDigest, batch: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(28 + batch.len());
    out.extend([kind::BATCH, space]);
    put_varint(&mut out, offset);
    out.extend(digest.as_bytes());
    out.extend(batch);
    out
}

/// The frame of a [`Message::Control`], without copying the batch twice.
pub(super) fn control_frame(space: u8, batch: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + batch.len());
    out.extend([kind::CONTROL, space]);
    out.extend(batch);
    out
}

fn number_frame(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    put_varint(out, number);
}

impl Versions {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let versions = Self { lowest: reader.u8()?, highest: reader.u8()? };
        if versions.lowest > versions.highest {
            return Err(DecodeError::Value);
        }
        // What follows is in the form of the lowest version: perhaps one that is not known here.
        if Self::SPOKEN.agree(versions).is_none() { Err(DecodeError::Version) } else { Ok(versions) }
    }
}

impl Standing {
    /// The part of a [`Proof`] that its signature covers, beside the transcript.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.unsent);
        put_varint(out, self.spaces.len() as u64);
        for open in &self.spaces {
            out.extend(open.space.as_bytes());
            out.push(u8::from(open.cursor.is_some()));
            if let Some(cursor) = &open.cursor {
                out.extend(cursor.log.as_bytes());
                put_varint(out, cursor.offset);
                out.extend(cursor.digest.as_bytes());
            }
            out.extend(open.own_digest);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let unsent = reader.varint()?;
        let count = count(reader, LINK_SPACES_MAX)?;
        let spaces = (0..count).map(|_| Open::decode(reader)).collect::<Result<_, _>>()?;
        Ok(Self { unsent, spaces })
    }
}

impl Open {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let space = SpaceId::from_bytes(reader.array()?);
        let cursor = match reader.u8()? {
            0 => None,
            1 => Some(CursorClaim {
                log: LogId::from_bytes(reader.array()?),
                offset: reader.varint()?,
                digest: LogDigest::from_bytes(reader.array()?),
            }),
            _ => return Err(DecodeError::Value),
        };
        Ok(Self { space, cursor, own_digest: reader.array()? })
    }
}

impl SpaceState {
    fn encode(&self, out: &mut Vec<u8>) {
        let Self::Open { log, head, len_after_cursor, watermark, is_revoked, quarantined, own } = self else {
            return out.push(0);
        };
        let mut flags = FLAG_MEMBER;
        flags |= if log.is_some() { FLAG_LOG } else { 0 };
        flags |= if own.is_some() { FLAG_OWN } else { 0 };
        flags |= if *is_revoked { FLAG_REVOKED } else { 0 };
        flags |= if *quarantined > 0 { FLAG_QUARANTINED } else { 0 };
        out.push(flags);
        if let Some(log) = log {
            out.extend(log.as_bytes());
        }
        put_varint(out, *head);
        put_varint(out, *len_after_cursor);
        put_varint(out, *watermark);
        if *quarantined > 0 {
            put_varint(out, *quarantined);
        }
        if let Some(own) = own {
            put_varint(out, own.len() as u64);
            for chain in own {
                out.extend(chain.incarnation.as_bytes());
                out.push(chain.lane as u8);
                put_varint(out, chain.seq);
                out.extend(chain.batch.as_bytes());
            }
        }
    }

    /// Reads one space's state; `chains_left` bounds the chains of the whole message.
    fn decode(reader: &mut Reader<'_>, chains_left: &mut usize) -> Result<Self, DecodeError> {
        let flags = reader.u8()?;
        if flags == 0 {
            return Ok(Self::NotMember);
        }
        if flags & FLAG_MEMBER == 0 || flags > FLAGS_MAX {
            return Err(DecodeError::Value);
        }
        let log = if flags & FLAG_LOG == 0 { None } else { Some(LogId::from_bytes(reader.array()?)) };
        let head = reader.varint()?;
        let len_after_cursor = reader.varint()?;
        let watermark = reader.varint()?;
        let is_revoked = flags & FLAG_REVOKED != 0;
        let quarantined = if flags & FLAG_QUARANTINED == 0 {
            0
        } else {
            Some(reader.varint()?).filter(|count| *count > 0).ok_or(DecodeError::Value)?
        };
        let own = if flags & FLAG_OWN == 0 { None } else { Some(decode_chains(reader, chains_left)?) };
        Ok(Self::Open { log, head, len_after_cursor, watermark, is_revoked, quarantined, own })
    }
}

/// Reads how many items follow, refusing more than `max` before any is read.
fn count(reader: &mut Reader<'_>, max: usize) -> Result<usize, DecodeError> {
    let count = reader.varint()?;
    usize::try_from(count).ok().filter(|count| *count <= max).ok_or(DecodeError::TooMany)
}

fn text(reader: &mut Reader<'_>, len_max: usize) -> Result<String, DecodeError> {
    let len = count(reader, len_max)?;
    std::str::from_utf8(reader.take(len)?).map(str::to_owned).map_err(|_| DecodeError::Text)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend(text.as_bytes());
}

fn rest(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(reader.take(reader.rest().len())?.to_vec())
}

/// Reads why a batch was not taken. Reasons belong to the protocol's version: there are no others.
fn decode_verdict(reader: &mut Reader<'_>) -> Result<Verdict, DecodeError> {
    let (class, code) = (reader.u8()?, reader.u8()?);
    let verdict = match class {
        ANSWER_RETRY => RetryReason::from_code(code).map(Verdict::RetryLater),
        ANSWER_REFUSED => RefuseReason::from_code(code).map(Verdict::Refused),
        ANSWER_QUARANTINED => QuarantineReason::from_code(code).map(Verdict::Quarantined),
        _ => None,
    };
    verdict.ok_or(DecodeError::Value)
}

fn decode_state(reader: &mut Reader<'_>) -> Result<Vec<SpaceState>, DecodeError> {
    let count = count(reader, LINK_SPACES_MAX)?;
    let mut chains_left = LINK_CHAINS_MAX;
    (0..count).map(|_| SpaceState::decode(reader, &mut chains_left)).collect()
}

fn decode_chains(reader: &mut Reader<'_>, chains_left: &mut usize) -> Result<Vec<OwnChain>, DecodeError> {
    let count = count(reader, *chains_left)?;
    *chains_left -= count;
    let chain = |reader: &mut Reader<'_>| {
        Ok(OwnChain {
            incarnation: Incarnation::from_bytes(reader.array()?),
            lane: Lane::from_u8(reader.u8()?).ok_or(DecodeError::Value)?,
            seq: reader.varint()?,
            batch: BatchId::from_bytes(reader.array()?),
        })
    };
    (0..count).map(|_| chain(reader)).collect()
}

impl Enrol {
    /// The part that the signature covers, beside the versions and the relay's key.
    pub(super) fn request(&self, out: &mut Vec<u8>) {
        out.extend(self.token);
        out.extend(self.device.as_bytes());
        out.extend(self.nonce);
        put_text(out, &self.label);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            versions: Versions::decode(reader)?,
            signature: reader.array()?,
            token: reader.array()?,
            device: DeviceId::from_bytes(reader.array()?),
            nonce: reader.array()?,
            label: text(reader, LABEL_LEN_MAX)?,
        })
    }
}

impl Enrolment {
    /// The part of an [`Enrolled`] that its signature covers, beside the request.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.organisation.as_bytes());
        put_text(out, &self.name_ar);
        put_text(out, &self.name_en);
        put_varint(out, self.spaces.len() as u64);
        self.spaces.iter().for_each(|space| out.extend(space.as_bytes()));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let organisation = OrganisationId::from_bytes(reader.array()?);
        let name_ar = text(reader, NAME_LEN_MAX)?;
        let name_en = text(reader, NAME_LEN_MAX)?;
        let count = count(reader, LINK_SPACES_MAX)?;
        let space = |reader: &mut Reader<'_>| Ok(SpaceId::from_bytes(reader.array()?));
        let spaces = (0..count).map(|_| space(reader)).collect::<Result<_, DecodeError>>()?;
        Ok(Self { organisation, name_ar, name_en, spaces })
    }
}

impl fmt::Debug for Enrol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrol").field("device", &self.device).finish_non_exhaustive()
    }
}

impl fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolled").field("membership", &self.membership).finish_non_exhaustive()
    }
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolment")
            .field("organisation", &self.organisation)
            .field("spaces", &self.spaces)
            .finish_non_exhaustive()
    }
}

/// Says what kind of message it is, and no content.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(hello) => write!(f, "Hello by {:?}", hello.device),
            Self::Welcome(welcome) => write!(f, "Welcome in version {}", welcome.version),
            Self::Proof(proof) => write!(f, "Proof for {} spaces", proof.standing.spaces.len()),
            Self::State(spaces) => write!(f, "State of {} spaces", spaces.len()),
            Self::Push { space, batch } => write!(f, "Push of {} bytes to {space}", batch.len()),
            Self::Answer { batch, verdict } => write!(f, "Answer {verdict:?} to {batch:?}"),
            Self::Batch { space, offset, batch, .. } => {
                write!(f, "Batch of {} bytes at {offset} of {space}", batch.len())
            }
            Self::Control { space, batch } => write!(f, "Control of {} bytes of {space}", batch.len()),
            Self::Reached { space, offset, .. } => write!(f, "Reached {offset} of {space}"),
            Self::Ping { number } => write!(f, "Ping {number}"),
            Self::Pong { number } => write!(f, "Pong {number}"),
            Self::Report { unsent } => write!(f, "Report of {unsent} unsent"),
            Self::Enrol(enrol) => write!(f, "{enrol:?}"),
            Self::Enrolled(enrolled) => write!(f, "{enrolled:?}"),
            Self::Close(code) => write!(f, "Close {code:?}"),
        }
    }
}
