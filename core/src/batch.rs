//! Batches: signed runs of entries, the unit of signing, transfer and log.
//!
//! A sealed batch is the same bytes everywhere: stored, sent, logged and served. Its id is the hash
//! of its header, the header names the hash of its entries, so a relay verifies and appends without
//! ever encoding again. Parsing checks structure and limits alone; the signature and the body are
//! checked by [`SealedBatch::verify_signature`] and [`SealedBatch::open`]. What a newer version may
//! have written is told apart from what is wrong: [`BatchError::keeps_unread`].

mod body;
mod entry;
mod header;
mod seal;

pub use body::{BODY_HEAD_LEN, Body, BodyEntry};
pub(crate) use entry::ANCESTOR_HEAD_LEN;
pub use entry::{AncestorEntry, ChangeEntry, Entry, EntryError};
pub use header::{Extension, Header};
pub use seal::{SealError, SealSpec, SealedBatch, seal, unread_id};

/// The version of the format that this core writes and reads. It is frozen: whatever is added, a batch of
/// this version stays readable as it is.
pub const VERSION: u8 = 1;
/// The one signature algorithm: Ed25519.
pub const ALGORITHM_ED25519: u8 = 1;

/// Which queue a change travels in. An SOS must not wait behind two thousand records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Lane {
    /// Alerts and control records: sealed, sent, relayed and acknowledged first.
    Urgent = 0,
    /// Records.
    Normal = 1,
    /// Tracks: last.
    Bulk = 2,
}

impl Lane {
    /// Every lane, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Normal, Self::Bulk];

    /// Reads the byte of a header.
    pub const fn from_u8(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Urgent),
            1 => Some(Self::Normal),
            2 => Some(Self::Bulk),
            _ => None,
        }
    }
}

/// What a batch carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BatchKind {
    /// Changes and track chunks.
    Entries = 1,
    /// Control statements, always in the urgent lane.
    Control = 2,
}

/// How a body is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BodyEncoding {
    /// As it is.
    Raw = 0,
    /// One zstd frame that states its content size.
    Zstd = 1,
    /// The same, with the dictionary that the header names. Version 0 has none.
    ZstdDictionary = 2,
}

/// Bytes are not a batch, or not one that this version reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end too early.
    #[error("reading a batch: the bytes end too early")]
    Truncated,
    /// More bytes than a batch may have.
    #[error("reading a batch: {len} bytes are too many")]
    TooLarge {
        /// How many there are.
        len: usize,
    },
    /// Written by a newer version of the format.
    #[error("reading a batch: version {0} is unknown")]
    UnknownVersion(u8),
    /// Signed by an algorithm that is not known.
    #[error("reading a batch: signature algorithm {0} is unknown")]
    UnknownAlgorithm(u8),
    /// A kind that is not known.
    #[error("reading a batch: kind {0} is unknown")]
    UnknownKind(u8),
    /// An encoding that is not known.
    #[error("reading a batch: body encoding {0} is unknown")]
    UnknownEncoding(u8),
    /// Compressed with a dictionary that is not held.
    #[error("reading a batch: compression dictionary {0} is unknown")]
    UnknownDictionary(u8),
    /// Encrypted to a key that is not held.
    #[error("reading a batch: body key {0} is unknown")]
    UnknownKey(u32),
    /// On a shelf, which version 0 does not use.
    #[error("reading a batch: shelf {0} is unknown")]
    UnknownShelf(u16),
    /// An extension marked critical that is not known.
    #[error("reading a batch: critical extension {0} is unknown")]
    UnknownExtension(u16),
    /// No lane has this number, or control statements are not in the urgent lane.
    #[error("reading a batch: lane {0} does not exist or does not carry this kind")]
    Lane(u8),
    /// Sequence number 0 or too high, or a first batch with a predecessor, or a later one without.
    #[error("reading a batch: sequence number {0} is impossible or contradicts the predecessor")]
    Sequence(u64),
    /// No entries, or more than a batch may have.
    #[error("reading a batch: {0} entries are too few or too many")]
    Count(u16),
    /// The claimed length of the body is impossible.
    #[error("reading a batch: {0} bytes of body are too few or too many")]
    RawLen(u32),
    /// The extensions are malformed, out of order, or do not fill their length.
    #[error("reading a batch: the extensions are malformed")]
    Extensions,
    /// The signature is not by the header's device over the header.
    #[error("verifying a batch: the signature is not by its device over its header")]
    WrongSignature,
    /// The body is not one bounded zstd frame of the claimed size.
    #[error("opening a batch: the body does not decompress to its claimed length")]
    Compression,
    /// The body's structure contradicts its header or itself.
    #[error("opening a batch: the body is malformed")]
    Body,
    /// The entries are not those that were signed.
    #[error("opening a batch: the entries are not those that were signed")]
    BodyHash,
}

impl BatchError {
    /// Whether a newer version may be able to read it: such a batch is stored unread, and the
    /// cursor moves on. Everything else is wrong for good.
    pub const fn keeps_unread(&self) -> bool {
        matches!(
            self,
            Self::UnknownVersion(_)
                | Self::UnknownAlgorithm(_)
                | Self::UnknownKind(_)
                | Self::UnknownEncoding(_)
                | Self::UnknownDictionary(_)
                | Self::UnknownKey(_)
                | Self::UnknownShelf(_)
                | Self::UnknownExtension(_)
        )
    }
}

impl From<crate::codec::ReadError> for BatchError {
    fn from(_: crate::codec::ReadError) -> Self {
        Self::Truncated
    }
}
