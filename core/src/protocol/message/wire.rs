//! The bytes of a message. A frame is a type byte and a payload. Reading is strict: exactly the bytes
//! that writing makes are read, so a message has one form only. `core/PROTOCOL.md` lists every byte.

use super::super::close::CloseCode;
use super::{
    CursorClaim, DecodeError, Enrol, Enrolled, Enrolment, Hello, Message, Open, Proof, SpaceState, Standing,
    Versions, Welcome,
};
use crate::attachment::AttachmentRefusal;
use crate::batch::Lane;
use crate::codec::{Reader, put_varint};
use crate::control::{QuarantineReason, RefuseReason, RetryReason, Verdict};
use crate::id::{AttachmentHash, BatchId, DeviceId, Incarnation, LogDigest, LogId, OrganisationId, SpaceId};
use crate::limits::{
    ATTACHMENT_PIECE_LEN_MAX, ATTACHMENT_SOUGHT_MAX, FRAME_LEN_MAX, LABEL_LEN_MAX, LINK_CHAINS_MAX,
    LINK_SPACES_MAX, NAME_LEN_MAX,
};
use crate::position::{OwnChain, QuarantineDigest};

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
    pub(super) const OFFER: u8 = 0x40;
    pub(super) const HOLDS: u8 = 0x41;
    pub(super) const PIECE: u8 = 0x42;
    pub(super) const NOT_WANTED: u8 = 0x43;
    pub(super) const FETCH: u8 = 0x44;
    pub(super) const BYTES: u8 = 0x45;
    pub(super) const GOT: u8 = 0x46;
    pub(super) const LACKS: u8 = 0x47;
    pub(super) const SOUGHT: u8 = 0x48;
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
    pub(in crate::protocol) fn encode(&self) -> Vec<u8> {
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
            Self::Offer { space, hash, len } => {
                attachment_frame(&mut out, kind::OFFER, *space, hash);
                put_varint(&mut out, *len);
            }
            Self::Holds { space, hash, held, head } => {
                attachment_frame(&mut out, kind::HOLDS, *space, hash);
                put_varint(&mut out, *held);
                put_varint(&mut out, head.map_or(0, |head| head.saturating_add(1)));
            }
            Self::Piece { space, hash, offset, bytes } => {
                attachment_frame(&mut out, kind::PIECE, *space, hash);
                put_varint(&mut out, *offset);
                out.extend(bytes);
            }
            Self::NotWanted { space, hash, refusal } => {
                attachment_frame(&mut out, kind::NOT_WANTED, *space, hash);
                out.push(refusal.code());
            }
            Self::Fetch { space, hash, offset } => {
                attachment_frame(&mut out, kind::FETCH, *space, hash);
                put_varint(&mut out, *offset);
            }
            Self::Bytes { space, hash, len, offset, bytes } => {
                attachment_frame(&mut out, kind::BYTES, *space, hash);
                put_varint(&mut out, *len);
                put_varint(&mut out, *offset);
                out.extend(bytes);
            }
            Self::Got { space, hash, held } => {
                attachment_frame(&mut out, kind::GOT, *space, hash);
                put_varint(&mut out, *held);
            }
            Self::Lacks { space, hash } => attachment_frame(&mut out, kind::LACKS, *space, hash),
            Self::Sought { space, hashes } => {
                out.extend([kind::SOUGHT, *space]);
                put_varint(&mut out, hashes.len() as u64);
                hashes.iter().for_each(|hash| out.extend(hash.as_bytes()));
            }
            Self::Close(code) => out.extend([kind::CLOSE, code.to_u8()]),
        }
        out
    }

    /// Reads a frame.
    pub(in crate::protocol) fn decode(frame: &[u8]) -> Result<Self, DecodeError> {
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
            kind::OFFER => {
                let (space, hash) = attachment(reader)?;
                Self::Offer { space, hash, len: reader.varint()? }
            }
            kind::HOLDS => {
                let (space, hash) = attachment(reader)?;
                Self::Holds { space, hash, held: reader.varint()?, head: reader.varint()?.checked_sub(1) }
            }
            kind::PIECE => {
                let (space, hash) = attachment(reader)?;
                Self::Piece { space, hash, offset: reader.varint()?, bytes: piece(reader)? }
            }
            kind::NOT_WANTED => {
                let (space, hash) = attachment(reader)?;
                let refusal = AttachmentRefusal::from_code(reader.u8()?).ok_or(DecodeError::Value)?;
                Self::NotWanted { space, hash, refusal }
            }
            kind::FETCH => {
                let (space, hash) = attachment(reader)?;
                Self::Fetch { space, hash, offset: reader.varint()? }
            }
            kind::BYTES => {
                let (space, hash) = attachment(reader)?;
                let (len, offset) = (reader.varint()?, reader.varint()?);
                Self::Bytes { space, hash, len, offset, bytes: piece(reader)? }
            }
            kind::GOT => {
                let (space, hash) = attachment(reader)?;
                Self::Got { space, hash, held: reader.varint()? }
            }
            kind::LACKS => {
                let (space, hash) = attachment(reader)?;
                Self::Lacks { space, hash }
            }
            kind::SOUGHT => {
                let space = reader.u8()?;
                let count = count(reader, ATTACHMENT_SOUGHT_MAX)?;
                let hash = |reader: &mut Reader<'_>| Ok(AttachmentHash::from_bytes(reader.array()?));
                let hashes = (0..count).map(|_| hash(reader)).collect::<Result<_, DecodeError>>()?;
                Self::Sought { space, hashes }
            }
            kind::CLOSE => Self::Close(CloseCode::from_u8(reader.u8()?)),
            other => return Err(DecodeError::UnknownType(other)),
        })
    }
}

/// The frame of a [`Message::Push`], without copying the batch twice.
pub(in crate::protocol) fn push_frame(space: u8, batch: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + batch.len());
    out.extend([kind::PUSH, space]);
    out.extend(batch);
    out
}

/// The frame of a [`Message::Batch`], without copying the batch twice.
pub(in crate::protocol) fn batch_frame(space: u8, offset: u64, digest: LogDigest, batch: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(28 + batch.len());
    out.extend([kind::BATCH, space]);
    put_varint(&mut out, offset);
    out.extend(digest.as_bytes());
    out.extend(batch);
    out
}

/// The frame of a [`Message::Control`], without copying the batch twice.
pub(in crate::protocol) fn control_frame(space: u8, batch: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + batch.len());
    out.extend([kind::CONTROL, space]);
    out.extend(batch);
    out
}

fn attachment_frame(out: &mut Vec<u8>, kind: u8, space: u8, hash: &AttachmentHash) {
    out.extend([kind, space]);
    out.extend(hash.as_bytes());
}

fn attachment(reader: &mut Reader<'_>) -> Result<(u8, AttachmentHash), DecodeError> {
    Ok((reader.u8()?, AttachmentHash::from_bytes(reader.array()?)))
}

/// A part of an attachment, to the frame's end: never nothing.
fn piece(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    match rest(reader)? {
        bytes if bytes.is_empty() => Err(DecodeError::Field),
        bytes if bytes.len() > ATTACHMENT_PIECE_LEN_MAX => Err(DecodeError::TooMany),
        bytes => Ok(bytes),
    }
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
    pub(in crate::protocol) fn encode(&self, out: &mut Vec<u8>) {
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
        flags |= if quarantined.is_empty() { 0 } else { FLAG_QUARANTINED };
        out.push(flags);
        if let Some(log) = log {
            out.extend(log.as_bytes());
        }
        put_varint(out, *head);
        put_varint(out, *len_after_cursor);
        put_varint(out, *watermark);
        if !quarantined.is_empty() {
            out.extend(quarantined.as_bytes());
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
            QuarantineDigest::default()
        } else {
            let digest = QuarantineDigest::from_bytes(reader.array()?);
            Some(digest).filter(|digest| !digest.is_empty()).ok_or(DecodeError::Value)?
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
    pub(in crate::protocol) fn request(&self, out: &mut Vec<u8>) {
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
    pub(in crate::protocol) fn encode(&self, out: &mut Vec<u8>) {
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
