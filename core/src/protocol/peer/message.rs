//! What two devices say to each other, and its bytes. Strict: a message has one form only.

use std::fmt;

use super::super::close::CloseCode;
use super::super::message::DecodeError;
use crate::batch::Lane;
use crate::codec::{Reader, put_varint};
use crate::id::{BatchId, DeviceId, Incarnation};
use crate::limits::{FRAME_LEN_MAX, LINK_SPACES_MAX, PEER_HEIGHTS_MAX};
use crate::position::Height;

/// A space that only who knows its id can make out, on this link alone.
pub(super) type Tag = [u8; 16];

/// What became of batches that were given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Taken in.
    pub taken: u64,
    /// Held already.
    pub held: u64,
    /// Stored, and waiting for control records about their author.
    pub waiting: u64,
    /// Stored in quarantine.
    pub quarantined: u64,
    /// Refused for good.
    pub refused: u64,
    /// Not taken: a batch before it in its chain is missing.
    pub missing: u64,
    /// Not taken: only a newer version of the program can read it.
    pub unread: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.counts_mut().into_iter().zip(other.counts()) {
            *sum = sum.saturating_add(more);
        }
    }

    /// All batches that it counts.
    pub fn batches(&self) -> u64 {
        self.counts().into_iter().fold(0, u64::saturating_add)
    }

    fn counts(&self) -> [u64; 7] {
        let Self { taken, held, waiting, quarantined, refused, missing, unread } = *self;
        [taken, held, waiting, quarantined, refused, missing, unread]
    }

    fn counts_mut(&mut self) -> [&mut u64; 7] {
        let Self { taken, held, waiting, quarantined, refused, missing, unread } = self;
        [taken, held, waiting, quarantined, refused, missing, unread]
    }
}

/// One message.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum PeerMessage {
    /// The spaces that its sender has; places count from 0 in what the joining device says.
    Spaces(Vec<Tag>),
    /// What its sender holds of a space.
    Heights(Heights),
    /// A space's data is given to the other device, or not; and a digest of what is held, if it is.
    Opened {
        /// The space's place.
        space: u8,
        /// Of all heights.
        digest: Option<[u8; 16]>,
    },
    /// Everything of the kind control was given.
    ControlDone,
    /// Everything was given, and is known to be taken in.
    Done,
    /// A batch.
    Batch {
        /// The space's place.
        space: u8,
        /// The batch as sealed.
        batch: Vec<u8>,
    },
    /// Take in what came up to here.
    Take,
    /// What came up to a take was taken in.
    Taken {
        /// Bytes of its batches.
        len: u64,
        /// What became of them.
        tally: Tally,
    },
    /// The last message of a link that ends early.
    Close(CloseCode),
}

/// Some of the heights of a space, ascending by chain.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Heights {
    /// The space's place.
    pub(super) space: u8,
    /// Only of the chains of those who may sign control statements.
    pub(super) is_control: bool,
    /// Whether this is not all of them.
    pub(super) goes_on: bool,
    /// The heights.
    pub(super) heights: Vec<Height>,
}

mod kind {
    pub(super) const SPACES: u8 = 0x01;
    pub(super) const HEIGHTS: u8 = 0x02;
    pub(super) const OPENED: u8 = 0x03;
    pub(super) const CONTROL_DONE: u8 = 0x04;
    pub(super) const DONE: u8 = 0x05;
    pub(super) const BATCH: u8 = 0x10;
    pub(super) const TAKE: u8 = 0x11;
    pub(super) const TAKEN: u8 = 0x12;
    pub(super) const CLOSE: u8 = 0x7f;
}

const FLAG_CONTROL: u8 = 1;
const FLAG_GOES_ON: u8 = 2;

impl PeerMessage {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Spaces(tags) => {
                out.push(kind::SPACES);
                put_varint(&mut out, tags.len() as u64);
                tags.iter().for_each(|tag| out.extend(tag));
            }
            Self::Heights(heights) => heights.encode(&mut out),
            Self::Opened { space, digest } => {
                out.extend([kind::OPENED, *space, u8::from(digest.is_some())]);
                out.extend(digest.iter().flatten());
            }
            Self::ControlDone => out.push(kind::CONTROL_DONE),
            Self::Done => out.push(kind::DONE),
            Self::Batch { space, batch } => {
                out.reserve_exact(2 + batch.len());
                out.extend([kind::BATCH, *space]);
                out.extend(batch);
            }
            Self::Take => out.push(kind::TAKE),
            Self::Taken { len, tally } => {
                out.push(kind::TAKEN);
                put_varint(&mut out, *len);
                tally.counts().into_iter().for_each(|count| put_varint(&mut out, count));
            }
            Self::Close(code) => out.extend([kind::CLOSE, code.to_u8()]),
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > FRAME_LEN_MAX {
            return Err(DecodeError::TooLarge(bytes.len()));
        }
        let (&kind, payload) = bytes.split_first().ok_or(DecodeError::Empty)?;
        let mut reader = Reader::new(payload);
        let message = match kind {
            kind::SPACES => {
                let count = count(&mut reader, LINK_SPACES_MAX)?;
                let tags: Result<_, DecodeError> = (0..count).map(|_| Ok(reader.array()?)).collect();
                Self::Spaces(tags?)
            }
            kind::HEIGHTS => Self::Heights(Heights::decode(&mut reader)?),
            kind::OPENED => {
                let space = reader.u8()?;
                let digest = match reader.u8()? {
                    0 => None,
                    1 => Some(reader.array()?),
                    _ => return Err(DecodeError::Value),
                };
                Self::Opened { space, digest }
            }
            kind::CONTROL_DONE => Self::ControlDone,
            kind::DONE => Self::Done,
            kind::BATCH => {
                Self::Batch { space: reader.u8()?, batch: reader.take(reader.rest().len())?.to_vec() }
            }
            kind::TAKE => Self::Take,
            kind::TAKEN => {
                let len = reader.varint()?;
                let mut tally = Tally::default();
                for count in tally.counts_mut() {
                    *count = reader.varint()?;
                }
                Self::Taken { len, tally }
            }
            kind::CLOSE => Self::Close(CloseCode::from_u8(reader.u8()?)),
            other => return Err(DecodeError::UnknownType(other)),
        };
        if reader.is_empty() { Ok(message) } else { Err(DecodeError::Trailing) }
    }
}

impl Heights {
    fn encode(&self, out: &mut Vec<u8>) {
        let control = if self.is_control { FLAG_CONTROL } else { 0 };
        let goes_on = if self.goes_on { FLAG_GOES_ON } else { 0 };
        out.extend([kind::HEIGHTS, self.space, control | goes_on]);
        put_varint(out, self.heights.len() as u64);
        self.heights.iter().for_each(|height| put_height(out, height));
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (space, flags) = (reader.u8()?, reader.u8()?);
        if flags & !(FLAG_CONTROL | FLAG_GOES_ON) != 0 {
            return Err(DecodeError::Value);
        }
        let count = count(reader, PEER_HEIGHTS_MAX)?;
        let heights = (0..count).map(|_| height(reader)).collect::<Result<Vec<_>, _>>()?;
        if !heights.is_sorted_by(|one, next| chain_key(one) < chain_key(next)) {
            return Err(DecodeError::Value);
        }
        Ok(Self { space, is_control: flags & FLAG_CONTROL != 0, goes_on: flags & FLAG_GOES_ON != 0, heights })
    }
}

/// Which chain of a space, in the order in which heights are said.
pub(super) type ChainKey = (DeviceId, Incarnation, Lane);

pub(super) fn chain_key(height: &Height) -> ChainKey {
    (height.device, height.incarnation, height.lane)
}

pub(super) fn put_height(out: &mut Vec<u8>, height: &Height) {
    out.extend(height.device.as_bytes());
    out.extend(height.incarnation.as_bytes());
    out.push(height.lane as u8);
    put_varint(out, height.seq);
    out.extend(height.batch.as_bytes());
}

fn height(reader: &mut Reader<'_>) -> Result<Height, DecodeError> {
    Ok(Height {
        device: DeviceId::from_bytes(reader.array()?),
        incarnation: Incarnation::from_bytes(reader.array()?),
        lane: Lane::from_u8(reader.u8()?).ok_or(DecodeError::Value)?,
        seq: match reader.varint()? {
            0 => return Err(DecodeError::Value),
            seq if i64::try_from(seq).is_err() => return Err(DecodeError::Value),
            seq => seq,
        },
        batch: BatchId::from_bytes(reader.array()?),
    })
}

fn count(reader: &mut Reader<'_>, max: usize) -> Result<usize, DecodeError> {
    let count = reader.varint()?;
    usize::try_from(count).ok().filter(|count| *count <= max).ok_or(DecodeError::TooMany)
}

/// Says what kind of message it is, and no content.
impl fmt::Debug for PeerMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spaces(tags) => write!(f, "Spaces, {}", tags.len()),
            Self::Heights(heights) => write!(f, "Heights of {} chains", heights.heights.len()),
            Self::Opened { space, digest } => write!(f, "Opened {space}, {}", digest.is_some()),
            Self::ControlDone => f.write_str("ControlDone"),
            Self::Done => f.write_str("Done"),
            Self::Batch { space, batch } => write!(f, "Batch of {} bytes of {space}", batch.len()),
            Self::Take => f.write_str("Take"),
            Self::Taken { len, tally } => write!(f, "Taken {len} bytes, {tally:?}"),
            Self::Close(code) => write!(f, "Close {code:?}"),
        }
    }
}
