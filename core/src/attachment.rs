//! Attachments: what becomes of a picture before it is kept, and how a record mentions it.
//!
//! A picture from a phone tells where its owner lives and which phone it is. So nothing is kept but the
//! picture itself: [`prepare`] copies what a list names and drops all else, before anything is hashed. What
//! cannot be stripped is not taken. The containers are walked here and not by a library, because the list
//! is the promise: a reader of these files sees every byte that is let through.

mod exif;
mod jpeg;
mod mention;
mod png;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
mod thumbnail;
mod transfer;
mod webp;

use std::fmt;

use crate::id::AttachmentHash;
use crate::limits::{ATTACHMENT_LEN_MAX, THUMBNAIL_LEN_MAX, THUMBNAIL_WORK_LEN_MAX};

pub(crate) use mention::MENTION_PREFIX;
pub use mention::{Mention, mention_key, mentions};
pub use transfer::{AttachmentFetch, AttachmentKept, AttachmentName, AttachmentOffer, AttachmentRefusal};

/// What a picture is, by its bytes and not by anybody's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    WebP,
}

impl MediaType {
    /// Every type that is taken.
    pub const ALL: [Self; 3] = [Self::Jpeg, Self::Png, Self::WebP];

    /// Its name, as in HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
        }
    }

    /// The type of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|media| media.as_str() == name)
    }

    /// What bytes begin like, if like anything that is taken.
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            _ => None,
        }
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A picture that may be kept: nothing is in it but itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What they are.
    pub media: MediaType,
    /// Their hash, which names them.
    pub hash: AttachmentHash,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared {}, {} bytes, {:?}", self.media, self.bytes.len(), self.hash)
    }
}

/// A picture cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// It is no JPEG, PNG or WebP, so nobody knows how to take the place out of it.
    #[error("preparing an attachment: it is no JPEG, PNG or WebP picture")]
    UnsupportedType,
    /// It begins as such a picture, and does not go on as one.
    #[error("preparing an attachment: the {0} picture is malformed")]
    Malformed(MediaType),
    /// It is longer than any may be.
    #[error("preparing an attachment: it has {len} bytes, and {len_max} are the most")]
    TooLarge {
        /// Its bytes.
        len: u64,
        /// Bytes that it may have.
        len_max: u64,
    },
}

/// Strips a picture of everything that is not the picture, but for how it is to be turned.
pub fn prepare(bytes: &[u8]) -> Result<Prepared, PrepareError> {
    prepare_within(bytes, ATTACHMENT_LEN_MAX)
}

/// The same for a thumbnail that an app made.
pub fn prepare_thumbnail(bytes: &[u8]) -> Result<Prepared, PrepareError> {
    prepare_within(bytes, THUMBNAIL_LEN_MAX)
}

/// A small JPEG of a prepared picture, upright, for lists; none if it cannot be made in the memory of a
/// small phone, and then the picture is kept without.
pub fn thumbnail(picture: &Prepared) -> Option<Prepared> {
    thumbnail_within(picture, THUMBNAIL_WORK_LEN_MAX)
}

/// The same in so many bytes of memory for the picture's pixels.
pub fn thumbnail_within(picture: &Prepared, work_len_max: u64) -> Option<Prepared> {
    let bytes = thumbnail::of(picture, work_len_max)?;
    prepare_thumbnail(&bytes).ok()
}

fn prepare_within(bytes: &[u8], len_max: u64) -> Result<Prepared, PrepareError> {
    let too_large = |len: usize| PrepareError::TooLarge { len: len as u64, len_max };
    if bytes.len() as u64 > len_max.saturating_mul(2) {
        // What is stripped may be long, but not that long.
        return Err(too_large(bytes.len()));
    }
    let media = MediaType::sniff(bytes).ok_or(PrepareError::UnsupportedType)?;
    let stripped = match media {
        MediaType::Jpeg => jpeg::strip(bytes),
        MediaType::Png => png::strip(bytes),
        MediaType::WebP => webp::strip(bytes),
    };
    let bytes = stripped.ok_or(PrepareError::Malformed(media))?;
    if bytes.len() as u64 > len_max {
        return Err(too_large(bytes.len()));
    }
    Ok(Prepared { hash: AttachmentHash::of(&bytes), bytes, media })
}

/// Walks bytes from the front.
struct Walk<'a>(&'a [u8]);

impl<'a> Walk<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }
}
