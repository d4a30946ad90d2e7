//! Entries: what a batch carries, each on its own.
//!
//! A bad entry never spoils its batch: what cannot be read is kept as it came, and refused alone.

use std::fmt;

use super::{BatchKind, Lane};
use crate::codec::{ReadError, Reader, varint_len};
use crate::id::{DeviceId, Incarnation, RecordId};
use crate::limits::{CHANGE_LEN_MAX, KIND_LEN_MAX, STATEMENT_LEN_MAX};
use crate::model::TrackChunk;
use crate::model::track::TrackError;

const TAG_CHANGE: u8 = 1;
const TAG_TRACK: u8 = 2;
const TAG_CONTROL: u8 = 3;
const TAG_ANCESTOR: u8 = 4;
const FLAG_CONTINUES: u8 = 1;
/// Bytes of an ancestor entry besides its kind and the change.
pub(crate) const ANCESTOR_HEAD_LEN: usize = 59;

/// An entry cannot be written, or is one that nobody would have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The bytes end too early, or hold a malformed number.
    #[error("an entry is malformed")]
    Malformed,
    /// A flag that version 0 does not have.
    #[error("an entry has an unknown flag")]
    UnknownFlag,
    /// A kind's name is empty, too long, or not UTF-8.
    #[error("an entry's kind is empty, too long or not UTF-8")]
    Kind,
    /// No lane has this number.
    #[error("an entry names a lane that does not exist")]
    Lane,
    /// A change or statement is empty or longer than it may be.
    #[error("an entry of {len} bytes is empty or too long")]
    Len {
        /// How many bytes it has.
        len: usize,
    },
    /// A track chunk is malformed.
    #[error("an entry's track chunk is malformed")]
    Track(#[from] TrackError),
    /// A statement outside a control batch, or something else inside one.
    #[error("an entry does not belong into a batch of this kind")]
    Misplaced,
    /// An unknown entry may not wear a known tag.
    #[error("an unknown entry wears a known tag")]
    KnownTag,
}

impl From<ReadError> for EntryError {
    fn from(_: ReadError) -> Self {
        Self::Malformed
    }
}

/// One change of one record.
#[derive(Clone, PartialEq, Eq)]
pub struct ChangeEntry {
    /// Which record.
    pub record: RecordId,
    /// Of which kind.
    pub kind: String,
    /// The write group goes on with the next entry: they are applied together.
    pub continues: bool,
    /// The Automerge change, uncompressed.
    pub change: Vec<u8>,
}

impl fmt::Debug for ChangeEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, kind, continues, change } = self;
        write!(f, "ChangeEntry({kind} {record:?}, {} bytes, continues: {continues})", change.len())
    }
}

/// Another author's change, carried along because a change of the carrier builds on it. It counts only
/// where a change that counts names it, by hash, among its ancestors.
#[derive(Clone, PartialEq, Eq)]
pub struct AncestorEntry {
    /// Who wrote the change.
    pub device: DeviceId,
    /// With which database file.
    pub incarnation: Incarnation,
    /// In which lane.
    pub lane: Lane,
    /// Of which record.
    pub record: RecordId,
    /// Of which kind.
    pub kind: String,
    /// The Automerge change, uncompressed.
    pub change: Vec<u8>,
}

impl fmt::Debug for AncestorEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, record, kind, change, .. } = self;
        write!(f, "AncestorEntry({kind} {record:?} by {device:?}, {} bytes)", change.len())
    }
}

/// One entry of a body.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// A change of a record.
    Change(ChangeEntry),
    /// Another author's change that one of the carrier's builds on.
    Ancestor(AncestorEntry),
    /// A run of positions.
    Track(TrackChunk),
    /// A control statement.
    Control(Vec<u8>),
    /// Written by a newer version; carried on as it is.
    Unknown {
        /// Its tag.
        tag: u8,
        /// What follows the tag.
        bytes: Vec<u8>,
    },
    /// Of a known tag, but not as anybody honest writes it: refused, alone.
    Unreadable {
        /// Its tag, or 0 for an empty entry.
        tag: u8,
        /// What is wrong with it.
        error: EntryError,
    },
}

/// Shows what it is and how long, never what it says.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(change) => change.fmt(f),
            Self::Ancestor(ancestor) => ancestor.fmt(f),
            Self::Track(chunk) => write!(f, "Track({:?}, {} positions)", chunk.id, chunk.positions.len()),
            Self::Control(statement) => write!(f, "Control({} bytes)", statement.len()),
            Self::Unknown { tag, bytes } => write!(f, "Unknown({tag}, {} bytes)", bytes.len()),
            Self::Unreadable { tag, error } => write!(f, "Unreadable({tag}, {error})"),
        }
    }
}

impl Entry {
    /// The bytes that it is in a body. One that could not be read cannot be written either.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        let mut out = Vec::new();
        self.encode_into(&mut out)?;
        Ok(out)
    }

    /// Bytes that an entry of this encoded length takes in a body.
    pub fn len_in_body(encoded_len: usize) -> usize {
        1 + varint_len(encoded_len as u64) + encoded_len
    }

    pub(super) fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), EntryError> {
        match self {
            Self::Change(ChangeEntry { record, kind, continues, change }) => {
                check_len(change.len(), CHANGE_LEN_MAX)?;
                out.reserve(19 + kind.len() + change.len());
                out.extend([TAG_CHANGE, if *continues { FLAG_CONTINUES } else { 0 }]);
                encode_change(out, *record, kind, change)?;
            }
            Self::Ancestor(AncestorEntry { device, incarnation, lane, record, kind, change }) => {
                check_len(change.len(), CHANGE_LEN_MAX)?;
                out.reserve(ANCESTOR_HEAD_LEN + kind.len() + change.len());
                out.push(TAG_ANCESTOR);
                out.extend(device.as_bytes());
                out.extend(incarnation.as_bytes());
                out.push(*lane as u8);
                encode_change(out, *record, kind, change)?;
            }
            Self::Track(chunk) => {
                out.push(TAG_TRACK);
                out.extend(chunk.to_bytes()?);
            }
            Self::Control(statement) => {
                check_len(statement.len(), STATEMENT_LEN_MAX)?;
                out.push(TAG_CONTROL);
                out.extend(statement);
            }
            Self::Unknown { tag: TAG_CHANGE..=TAG_ANCESTOR, .. } => return Err(EntryError::KnownTag),
            Self::Unknown { tag, bytes } => {
                out.push(*tag);
                out.extend(bytes);
            }
            Self::Unreadable { error, .. } => return Err(*error),
        }
        Ok(())
    }

    /// Reads an entry; what is malformed becomes [`Entry::Unreadable`].
    pub fn decode(bytes: &[u8]) -> Self {
        let Some((&tag, rest)) = bytes.split_first() else {
            return Self::Unreadable { tag: 0, error: EntryError::Malformed };
        };
        let read = match tag {
            TAG_CHANGE => decode_change(rest).map(Self::Change),
            TAG_TRACK => TrackChunk::from_bytes(rest).map(Self::Track).map_err(EntryError::from),
            TAG_ANCESTOR => decode_ancestor(rest).map(Self::Ancestor),
            TAG_CONTROL => check_len(rest.len(), STATEMENT_LEN_MAX).map(|()| Self::Control(rest.to_vec())),
            _ => Ok(Self::Unknown { tag, bytes: rest.to_vec() }),
        };
        read.unwrap_or_else(|error| Self::Unreadable { tag, error })
    }

    /// Statements travel in control batches, and nothing else does; unknown entries go anywhere.
    pub(super) fn check_place(&self, kind: BatchKind) -> Result<(), EntryError> {
        match (self, kind) {
            (Self::Control(_), BatchKind::Entries)
            | (Self::Change(_) | Self::Ancestor(_) | Self::Track(_), BatchKind::Control) => {
                Err(EntryError::Misplaced)
            }
            _ => Ok(()),
        }
    }
}

fn decode_change(bytes: &[u8]) -> Result<ChangeEntry, EntryError> {
    let mut reader = Reader::new(bytes);
    let continues = match reader.u8()? {
        0 => false,
        FLAG_CONTINUES => true,
        _ => return Err(EntryError::UnknownFlag),
    };
    let (record, kind, change) = decode_named_change(reader)?;
    Ok(ChangeEntry { record, kind, continues, change })
}

fn decode_ancestor(bytes: &[u8]) -> Result<AncestorEntry, EntryError> {
    let mut reader = Reader::new(bytes);
    let device = DeviceId::from_bytes(reader.array()?);
    let incarnation = Incarnation::from_bytes(reader.array()?);
    let lane = Lane::from_u8(reader.u8()?).ok_or(EntryError::Lane)?;
    let (record, kind, change) = decode_named_change(reader)?;
    Ok(AncestorEntry { device, incarnation, lane, record, kind, change })
}

fn encode_change(out: &mut Vec<u8>, record: RecordId, kind: &str, change: &[u8]) -> Result<(), EntryError> {
    if kind.is_empty() || kind.len() > KIND_LEN_MAX {
        return Err(EntryError::Kind);
    }
    out.extend(record.as_bytes());
    out.push(kind.len() as u8);
    out.extend(kind.as_bytes());
    out.extend(change);
    Ok(())
}

fn decode_named_change(mut reader: Reader<'_>) -> Result<(RecordId, String, Vec<u8>), EntryError> {
    let record = RecordId::from_bytes(reader.array()?);
    let kind_len = usize::from(reader.u8()?);
    if kind_len == 0 || kind_len > KIND_LEN_MAX {
        return Err(EntryError::Kind);
    }
    let kind = std::str::from_utf8(reader.take(kind_len)?).map_err(|_| EntryError::Kind)?.to_owned();
    let change = reader.rest();
    check_len(change.len(), CHANGE_LEN_MAX)?;
    Ok((record, kind, change.to_vec()))
}

fn check_len(len: usize, max: usize) -> Result<(), EntryError> {
    if len == 0 || len > max { Err(EntryError::Len { len }) } else { Ok(()) }
}
