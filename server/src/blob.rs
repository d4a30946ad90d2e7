//! Attachments as bytes under their hash: what a relay holds whole, and what is still arriving.
//!
//! Named by space and hash, so that neither existence nor reading crosses spaces. What arrives is kept
//! for each device apart until it is whole and has the hash it is named by: nobody can spoil what
//! another sends, and every device goes on at the byte where it was itself. Who may send or read,
//! and how much, is not known here.

pub mod file;
#[cfg(test)]
pub(crate) mod memory;

use std::fmt;
use std::io;
use std::time::Duration;

use barid_core::id::{AttachmentHash, DeviceId, SpaceId};

/// An attachment of a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId {
    /// Where it belongs.
    pub space: SpaceId,
    /// What its bytes hash to.
    pub hash: AttachmentHash,
}

/// An attachment that a device is sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartId {
    /// What it is to become.
    pub blob: BlobId,
    /// Who sends it.
    pub device: DeviceId,
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// So many bytes of this device's sending are held, with the piece or without it.
    Held(u64),
    /// The attachment is whole, has its hash, and is durable.
    Whole,
    /// What came has another hash. All of it is gone.
    Mismatch,
}

/// Some bytes of an attachment.
#[derive(Clone, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the whole.
    pub len: u64,
    /// The bytes asked for: fewer at the end, none beyond it.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({} of {})", self.bytes.len(), self.len)
    }
}

/// The bytes cannot be kept or read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no room for more.
    #[error("there is no room for an attachment")]
    Full(#[source] io::Error),
    /// The disk failed.
    #[error("using an attachment's file")]
    Io(#[source] io::Error),
}

impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::Full(error),
            _ => Self::Io(error),
        }
    }
}

/// A place for attachments. Every call blocks.
pub trait Blobs: Send + Sync + fmt::Debug {
    /// Bytes of an attachment that is held whole.
    fn whole(&self, blob: BlobId) -> Result<Option<u64>, BlobError>;

    /// Bytes held of what a device has begun to send, which shall be `len` long. If it was to have
    /// another length before, nothing is held.
    fn part(&self, part: PartId, len: u64) -> Result<u64, BlobError>;

    /// Adds a piece to what a device has sent, if it begins where that ends and ends within `len`; if not,
    /// nothing is changed. With the last byte the whole is compared with its hash, and is durable when this
    /// returns.
    fn put(&self, part: PartId, len: u64, offset: u64, bytes: &[u8]) -> Result<Put, BlobError>;

    /// At most `len_max` bytes of an attachment from an offset on, if it is held whole.
    fn read(&self, blob: BlobId, offset: u64, len_max: usize) -> Result<Option<Piece>, BlobError>;

    /// Removes an attachment and whatever was being sent of it. Returns whether there was anything.
    fn remove(&self, blob: BlobId) -> Result<bool, BlobError>;

    /// Removes what a device has begun to send of an attachment.
    fn give_up(&self, part: PartId) -> Result<(), BlobError>;

    /// Every attachment that is held whole, with its length, in no order.
    fn list(&self) -> Result<Vec<(BlobId, u64)>, BlobError>;

    /// Removes what nothing was added to for so long; returns what is left of what is being sent.
    fn sweep(&self, idle: Duration) -> Result<Vec<(PartId, u64)>, BlobError>;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
