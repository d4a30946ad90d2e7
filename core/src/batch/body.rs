//! A batch's body: salted entries, so that a short one that was erased cannot be guessed back.
//!
//! As sealed (form 0) a body holds one seed from which all salts follow. Once an entry is erased
//! the seed must go with it, and the body is rewritten (form 1): every entry that is left carries
//! its own salt, every erased one is its hash. Both forms have the same hash.

mod context;

use std::io;
use std::sync::LazyLock;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};

use super::{BatchError, BodyEncoding, Entry, Header};
use crate::codec::{Reader, put_varint};
use crate::limits::BATCH_ERASED_ENTRY_LEN;

const FORM_SEED: u8 = 0;
const FORM_SALTS: u8 = 1;
const ERASED: u8 = 0;
const PRESENT: u8 = 1;

/// Bytes of a sealed body before its first entry: the form and the seed.
pub const BODY_HEAD_LEN: usize = 17;

type Salt = [u8; 16];

static SALT_CONTEXT: LazyLock<ContextKey> =
    LazyLock::new(|| hash_derive_key_context("barid 2026 entry salt"));
static ENTRY_CONTEXT: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("barid 2026 entry"));
static BODY_CONTEXT: LazyLock<ContextKey> = LazyLock::new(|| hash_derive_key_context("barid 2026 body"));

/// What a batch carries, checked against its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The entries, in their order.
    pub entries: Vec<BodyEntry>,
}

/// One place in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyEntry {
    /// An entry that is there.
    Present {
        /// What it says.
        entry: Entry,
        /// Its hash in the body's hash.
        hash: [u8; 32],
    },
    /// An entry that was erased. Valid only beside a signed decision.
    Erased {
        /// The hash that it had.
        hash: [u8; 32],
    },
}

/// One place in a body that has not been decoded yet.
#[derive(Clone, Copy)]
pub(super) enum RawEntry<'a> {
    Present { salt: Salt, bytes: &'a [u8] },
    Erased { hash: [u8; 32] },
}

impl RawEntry<'_> {
    pub(super) fn hash(&self) -> [u8; 32] {
        match self {
            Self::Present { salt, bytes } => entry_hash(salt, bytes),
            Self::Erased { hash } => *hash,
        }
    }

    pub(super) fn decode(&self, header: &Header) -> BodyEntry {
        let hash = self.hash();
        match self {
            Self::Present { bytes, .. } => {
                let mut entry = Entry::decode(bytes);
                if let Err(error) = entry.check_place(header.kind) {
                    entry = Entry::Unreadable { tag: bytes[0], error };
                }
                BodyEntry::Present { entry, hash }
            }
            Self::Erased { .. } => BodyEntry::Erased { hash },
        }
    }
}

fn salt(seed: &Salt, index: u32) -> Salt {
    let mut salt = [0; 16];
    let mut hasher = Hasher::new_from_context_key(&SALT_CONTEXT);
    hasher.update(seed).update(&index.to_be_bytes());
    salt.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    salt
}

fn entry_hash(salt: &Salt, entry: &[u8]) -> [u8; 32] {
    *Hasher::new_from_context_key(&ENTRY_CONTEXT).update(salt).update(entry).finalize().as_bytes()
}

/// The hash over the hashes of all entries.
pub(super) fn body_hash(hashes: impl IntoIterator<Item = [u8; 32]>) -> [u8; 32] {
    let mut hasher = Hasher::new_from_context_key(&BODY_CONTEXT);
    for hash in hashes {
        hasher.update(&hash);
    }
    *hasher.finalize().as_bytes()
}

/// Writes a body as it is sealed, and its hash.
pub(super) fn write_sealed<'a>(
    seed: Salt,
    entries: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<u8>, [u8; 32]) {
    let mut raw = vec![FORM_SEED];
    raw.extend(seed);
    let mut hashes = Vec::new();
    for (index, entry) in (0..).zip(entries) {
        raw.push(PRESENT);
        put_varint(&mut raw, entry.len() as u64);
        raw.extend(entry);
        hashes.push(entry_hash(&salt(&seed, index), entry));
    }
    (raw, body_hash(hashes))
}

/// Writes a body of which entries were erased.
pub(super) fn write_erased(entries: &[RawEntry<'_>]) -> Vec<u8> {
    let mut raw = vec![FORM_SALTS];
    for entry in entries {
        match entry {
            RawEntry::Present { salt, bytes } => {
                raw.push(PRESENT);
                raw.extend(salt);
                put_varint(&mut raw, bytes.len() as u64);
                raw.extend(*bytes);
            }
            RawEntry::Erased { hash } => {
                raw.push(ERASED);
                raw.extend(hash);
            }
        }
    }
    raw
}

/// Reads a body's structure; says nothing yet about its hash.
pub(super) fn read<'a>(raw: &'a [u8], header: &Header) -> Result<Vec<RawEntry<'a>>, BatchError> {
    let mut reader = Reader::new(raw);
    let malformed = |_| BatchError::Body;
    let seed = match reader.u8().map_err(malformed)? {
        FORM_SEED if raw.len() == header.raw_len as usize => Some(reader.array().map_err(malformed)?),
        FORM_SALTS => None,
        _ => return Err(BatchError::Body),
    };
    // Bounded by the header's limit, not by what the body claims.
    let mut entries = Vec::with_capacity(usize::from(header.count));
    for index in 0..u32::from(header.count) {
        entries.push(read_entry(&mut reader, seed.as_ref(), index).map_err(malformed)?);
    }
    if reader.is_empty() { Ok(entries) } else { Err(BatchError::Body) }
}

fn read_entry<'a>(
    reader: &mut Reader<'a>,
    seed: Option<&Salt>,
    index: u32,
) -> Result<RawEntry<'a>, crate::codec::ReadError> {
    match (reader.u8()?, seed) {
        (PRESENT, seed) => {
            let salt = match seed {
                Some(seed) => salt(seed, index),
                None => reader.array()?,
            };
            let len = usize::try_from(reader.varint()?).map_err(|_| crate::codec::ReadError)?;
            Ok(RawEntry::Present { salt, bytes: reader.take(len)? })
        }
        // Beside the seed an erased entry could be guessed.
        (ERASED, None) => Ok(RawEntry::Erased { hash: reader.array()? }),
        _ => Err(crate::codec::ReadError),
    }
}

/// The stored form of a raw body: compressed if that is smaller.
pub(super) fn compress(raw: Vec<u8>) -> io::Result<(BodyEncoding, Vec<u8>)> {
    let compressed = context::compress(&raw)?;
    Ok(if compressed.len() < raw.len() { (BodyEncoding::Zstd, compressed) } else { (BodyEncoding::Raw, raw) })
}

/// The stored form of a rewritten body, in the encoding that its header has signed.
pub(super) fn compress_as(encoding: BodyEncoding, raw: Vec<u8>) -> io::Result<Vec<u8>> {
    if encoding == BodyEncoding::Raw { Ok(raw) } else { context::compress(&raw) }
}

/// Decompresses one frame, never into more memory than the header's claim allows. The buffer
/// itself is the decoder's window, so a frame's window claim costs nothing.
pub(super) fn decompress(stored: &[u8], header: &Header) -> Result<Vec<u8>, BatchError> {
    let failed = BatchError::Compression;
    let frame_len = zstd::zstd_safe::find_frame_compressed_size(stored).map_err(|_| failed)?;
    let raw_len = zstd::zstd_safe::get_frame_content_size(stored).map_err(|_| failed)?.ok_or(failed)?;
    let raw_len = usize::try_from(raw_len).map_err(|_| failed)?;
    if frame_len != stored.len() || raw_len > raw_len_max(header) {
        return Err(failed);
    }
    let raw = context::decompress(stored, raw_len).map_err(|_| failed)?;
    if raw.len() == raw_len { Ok(raw) } else { Err(failed) }
}

/// Bytes of a raw body at most: as signed, or rewritten after an erasure.
pub(super) fn raw_len_max(header: &Header) -> usize {
    header.raw_len as usize + usize::from(header.count) * BATCH_ERASED_ENTRY_LEN
}
