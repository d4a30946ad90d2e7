//! Sealing, parsing, verifying and opening batches.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::body::{self, Body, BodyEntry, RawEntry};
use super::header::{HEADER_LEN_MIN, id_of};
use super::{
    ALGORITHM_ED25519, BatchError, BatchKind, BodyEncoding, Entry, EntryError, Header, Lane, VERSION,
};
use crate::clock::Timestamp;
use crate::codec::Reader;
use crate::id::{BatchId, ChainId, Incarnation, SpaceId};
use crate::identity::{self, Identity, SIGNATURE_LEN};
use crate::limits::{BATCH_ENTRIES_MAX, BATCH_LEN_MAX, BATCH_RAW_LEN_MAX};

/// Context of a batch's signature.
const SIGNATURE_CONTEXT: &str = "barid 2026 batch signature";

/// Everything of a header that the sealer decides.
#[derive(Debug, Clone, Copy)]
pub struct SealSpec<'a> {
    /// Who signs.
    pub key: &'a Identity,
    /// With which database file.
    pub incarnation: Incarnation,
    /// In which space.
    pub space: SpaceId,
    /// In which lane.
    pub lane: Lane,
    /// The batch's place in its chain, from 1.
    pub seq: u64,
    /// The chain's batch before it; zeros for the first.
    pub prev: BatchId,
    /// The newest control batch known; zeros for none.
    pub control_head: BatchId,
    /// What it carries.
    pub kind: BatchKind,
    /// When it is sealed.
    pub claimed_time: Timestamp,
    /// Random: the salts of the entries follow from it.
    pub seed: [u8; 16],
}

/// Entries cannot be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// One entry cannot be written.
    #[error("sealing a batch: entry {index} cannot be written")]
    Entry {
        /// Which one.
        index: usize,
        /// Why not.
        source: EntryError,
    },
    /// No entries, too many, or too long together; or a place in the chain that cannot be.
    #[error("sealing a batch: it would not be read back")]
    Batch(#[source] BatchError),
    /// The compressor failed, for want of memory.
    #[error("sealing a batch: compression failed")]
    Compression(#[source] std::io::Error),
}

/// A batch as it is stored, sent, logged and served: the same bytes everywhere.
#[derive(Clone)]
pub struct SealedBatch {
    bytes: Arc<[u8]>,
    header: Header,
    header_len: usize,
    id: BatchId,
}

impl PartialEq for SealedBatch {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for SealedBatch {}

impl fmt::Debug for SealedBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { device, space, lane, seq, count, .. } = &self.header;
        let len = self.bytes.len();
        write!(f, "SealedBatch({:?}, {device:?}, {space:?}, {lane:?}, seq {seq}, ", self.id)?;
        write!(f, "{count} entries, {len} bytes)")
    }
}

impl SealedBatch {
    /// Reads the structure and checks the limits; neither signature nor body.
    pub fn parse(bytes: impl Into<Arc<[u8]>>) -> Result<Self, BatchError> {
        let bytes = bytes.into();
        if bytes.len() > BATCH_LEN_MAX {
            return Err(BatchError::TooLarge { len: bytes.len() });
        }
        let header_bytes = split_header(&bytes).ok_or(BatchError::Truncated)?;
        let header_len = header_bytes.len();
        let header = Header::from_bytes(header_bytes)?;
        if bytes.len() <= 2 + header_len + SIGNATURE_LEN {
            return Err(BatchError::Truncated);
        }
        let id = id_of(header_bytes);
        Ok(Self { bytes, header, header_len, id })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The batch's id: the hash of its header.
    pub fn id(&self) -> BatchId {
        self.id
    }

    /// The chain to which it belongs.
    pub fn chain(&self) -> ChainId {
        self.header.chain()
    }

    /// The bytes, as they are stored and sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, shared.
    pub fn into_bytes(self) -> Arc<[u8]> {
        self.bytes
    }

    fn header_bytes(&self) -> &[u8] {
        &self.bytes[2..2 + self.header_len]
    }

    fn body_bytes(&self) -> &[u8] {
        &self.bytes[2 + self.header_len + SIGNATURE_LEN..]
    }

    /// Checks that the header's device has signed the header.
    pub fn verify_signature(&self) -> Result<(), BatchError> {
        let signature: &[u8; SIGNATURE_LEN] = self.bytes[2 + self.header_len..]
            .first_chunk()
            .expect("parsing has checked that there is a signature");
        identity::verify(self.header.device, SIGNATURE_CONTEXT, self.header_bytes(), signature)
            .map_err(|_| BatchError::WrongSignature)
    }

    /// Opens the body and checks all of it against the header.
    pub fn open(&self) -> Result<Body, BatchError> {
        let raw = self.raw_body()?;
        let raw_entries = body::read(&raw, &self.header)?;
        let entries: Vec<_> = raw_entries.iter().map(|entry| entry.decode(&self.header)).collect();
        let hashes = entries.iter().map(|entry| match entry {
            BodyEntry::Present { hash, .. } | BodyEntry::Erased { hash } => *hash,
        });
        if body::body_hash(hashes) != self.header.body_hash {
            return Err(BatchError::BodyHash);
        }
        Ok(Body { entries })
    }

    /// Reads single entries of a batch that was verified when it was stored: the hash over all of
    /// them is not computed again. An index beyond the last gives nothing.
    pub fn open_entries(&self, indexes: &[usize]) -> Result<Vec<BodyEntry>, BatchError> {
        let raw = self.raw_body()?;
        let raw_entries = body::read(&raw, &self.header)?;
        Ok(indexes.iter().filter_map(|index| Some(raw_entries.get(*index)?.decode(&self.header))).collect())
    }

    /// The same batch without the content of these entries; it keeps its id and signature.
    pub fn erase(&self, indexes: &[usize]) -> Result<Self, BatchError> {
        let raw = self.raw_body()?;
        let mut entries = body::read(&raw, &self.header)?;
        for (index, entry) in entries.iter_mut().enumerate() {
            if indexes.contains(&index) {
                *entry = RawEntry::Erased { hash: entry.hash() };
            }
        }
        let stored = body::compress_as(self.header.encoding, body::write_erased(&entries))
            .map_err(|_| BatchError::Compression)?;
        let kept = &self.bytes[..2 + self.header_len + SIGNATURE_LEN];
        Self::parse([kept, &stored].concat())
    }

    fn raw_body(&self) -> Result<Cow<'_, [u8]>, BatchError> {
        let stored = self.body_bytes();
        match self.header.encoding {
            BodyEncoding::Raw if stored.len() > body::raw_len_max(&self.header) => Err(BatchError::Body),
            BodyEncoding::Raw => Ok(Cow::Borrowed(stored)),
            BodyEncoding::Zstd => body::decompress(stored, &self.header).map(Cow::Owned),
            BodyEncoding::ZstdDictionary => Err(BatchError::UnknownDictionary(self.header.dictionary)),
        }
    }
}

/// The id of a batch that [`SealedBatch::parse`] leaves unread: every version begins with the
/// header's length and the header.
pub fn unread_id(bytes: &[u8]) -> Option<BatchId> {
    split_header(bytes).map(id_of)
}

fn split_header(bytes: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    let header_len = usize::from(reader.u16().ok()?);
    let header = reader.take(header_len).ok()?;
    (!header.is_empty()).then_some(header)
}

/// Writes, hashes, compresses and signs entries: they leave as one batch.
pub fn seal(spec: SealSpec<'_>, entries: &[Entry]) -> Result<SealedBatch, SealError> {
    let mut encoded = Vec::with_capacity(entries.len().min(BATCH_ENTRIES_MAX));
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    if usize::from(count) > BATCH_ENTRIES_MAX {
        return Err(SealError::Batch(BatchError::Count(count)));
    }
    for (index, entry) in entries.iter().enumerate() {
        let bytes = entry.check_place(spec.kind).and_then(|()| entry.encode());
        encoded.push(bytes.map_err(|source| SealError::Entry { index, source })?);
    }
    let (raw, body_hash) = body::write_sealed(spec.seed, encoded.iter().map(Vec::as_slice));
    let raw_len = u32::try_from(raw.len()).unwrap_or(u32::MAX);
    if raw.len() > BATCH_RAW_LEN_MAX {
        return Err(SealError::Batch(BatchError::RawLen(raw_len)));
    }
    let (encoding, stored) = body::compress(raw).map_err(SealError::Compression)?;
    let header = Header {
        version: VERSION,
        algorithm: ALGORITHM_ED25519,
        device: spec.key.device(),
        incarnation: spec.incarnation,
        space: spec.space,
        lane: spec.lane,
        seq: spec.seq,
        prev: spec.prev,
        control_head: spec.control_head,
        kind: spec.kind,
        encoding,
        dictionary: 0,
        key_id: 0,
        shelf: 0,
        count,
        raw_len,
        body_hash,
        claimed_time: spec.claimed_time,
        extensions: Vec::new(),
    };
    SealedBatch::parse(assemble(spec.key, &header.to_bytes(), &stored)).map_err(SealError::Batch)
}

fn assemble(key: &Identity, header: &[u8], stored: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + header.len() + SIGNATURE_LEN + stored.len());
    bytes.extend((header.len() as u16).to_be_bytes());
    bytes.extend(header);
    bytes.extend(key.sign(SIGNATURE_CONTEXT, header));
    bytes.extend(stored);
    bytes
}

const _: () = assert!(HEADER_LEN_MIN + crate::limits::BATCH_EXTENSIONS_LEN_MAX <= u16::MAX as usize);

#[cfg(test)]
mod tests;
