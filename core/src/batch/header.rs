//! A batch's header: what is signed, and what a batch's id is the hash of.

use super::{ALGORITHM_ED25519, BatchError, BatchKind, BodyEncoding, Lane, VERSION};
use crate::clock::Timestamp;
use crate::codec::Reader;
use crate::id::{BatchId, ChainId, DeviceId, Incarnation, SpaceId};
use crate::limits::{BATCH_ENTRIES_MAX, BATCH_EXTENSIONS_LEN_MAX, BATCH_RAW_LEN_MAX};

/// Bytes of a header without extensions.
pub(super) const HEADER_LEN_MIN: usize = 204;
/// Context of a batch's id.
const ID_CONTEXT: &str = "barid 2026 batch";

/// Room for what later versions add without a new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Which one; each occurs once, in ascending order.
    pub tag: u16,
    /// Whether a reader that does not know it must leave the batch unread.
    pub critical: bool,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// Everything that is known of a batch without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the format.
    pub version: u8,
    /// Signature algorithm; 1 is Ed25519.
    pub algorithm: u8,
    /// Who wrote and signed it.
    pub device: DeviceId,
    /// With which database file.
    pub incarnation: Incarnation,
    /// In which space.
    pub space: SpaceId,
    /// In which lane.
    pub lane: Lane,
    /// Its place in its chain, from 1.
    pub seq: u64,
    /// The chain's batch before it; zeros for the first.
    pub prev: BatchId,
    /// The newest control batch that the author knew; zeros for none. Advisory: no verdict waits
    /// for it or is granted by it.
    pub control_head: BatchId,
    /// What it carries.
    pub kind: BatchKind,
    /// How the body is stored.
    pub encoding: BodyEncoding,
    /// Which compression dictionary; 0 for none.
    pub dictionary: u8,
    /// To which key the body is encrypted; 0 for none.
    pub key_id: u32,
    /// Reserved for partial replication; 0.
    pub shelf: u16,
    /// Entries of the body as it was signed.
    pub count: u16,
    /// Bytes of the body as it was signed, before compression.
    pub raw_len: u32,
    /// Hash over the hashes of all entries.
    pub body_hash: [u8; 32],
    /// When its author says that it was sealed.
    pub claimed_time: Timestamp,
    /// Extensions, their tags ascending.
    pub extensions: Vec<Extension>,
}

impl Header {
    /// The chain to which it belongs.
    pub fn chain(&self) -> ChainId {
        ChainId::derive(self.device, self.incarnation, self.space, self.lane)
    }

    /// The batch's id: the hash of the header's bytes.
    pub fn id(&self) -> BatchId {
        id_of(&self.to_bytes())
    }

    /// The signed form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN_MIN);
        out.extend([self.version, self.algorithm]);
        out.extend(self.device.as_bytes());
        out.extend(self.incarnation.as_bytes());
        out.extend(self.space.as_bytes());
        out.push(self.lane as u8);
        out.extend(self.seq.to_be_bytes());
        out.extend(self.prev.as_bytes());
        out.extend(self.control_head.as_bytes());
        out.extend([self.kind as u8, self.encoding as u8, self.dictionary]);
        out.extend(self.key_id.to_be_bytes());
        out.extend(self.shelf.to_be_bytes());
        out.extend(self.count.to_be_bytes());
        out.extend(self.raw_len.to_be_bytes());
        out.extend(self.body_hash);
        out.extend(self.claimed_time.as_millis().to_be_bytes());
        let extensions_len: usize = self.extensions.iter().map(|e| 5 + e.bytes.len()).sum();
        out.extend((extensions_len as u16).to_be_bytes());
        for extension in &self.extensions {
            out.extend(extension.tag.to_be_bytes());
            out.push(u8::from(extension.critical));
            out.extend((extension.bytes.len() as u16).to_be_bytes());
            out.extend(&extension.bytes);
        }
        out
    }

    /// Reads exactly the bytes that [`Self::to_bytes`] writes.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, BatchError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(BatchError::UnknownVersion(version));
        }
        let algorithm = reader.u8()?;
        if algorithm != ALGORITHM_ED25519 {
            return Err(BatchError::UnknownAlgorithm(algorithm));
        }
        let device = DeviceId::from_bytes(reader.array()?);
        let incarnation = Incarnation::from_bytes(reader.array()?);
        let space = SpaceId::from_bytes(reader.array()?);
        let lane = reader.u8()?;
        let lane = Lane::from_u8(lane).ok_or(BatchError::Lane(lane))?;
        let header = Self {
            version,
            algorithm,
            device,
            incarnation,
            space,
            lane,
            seq: reader.u64()?,
            prev: BatchId::from_bytes(reader.array()?),
            control_head: BatchId::from_bytes(reader.array()?),
            kind: match reader.u8()? {
                1 => BatchKind::Entries,
                2 => BatchKind::Control,
                unknown => return Err(BatchError::UnknownKind(unknown)),
            },
            encoding: match reader.u8()? {
                0 => BodyEncoding::Raw,
                1 => BodyEncoding::Zstd,
                2 => BodyEncoding::ZstdDictionary,
                unknown => return Err(BatchError::UnknownEncoding(unknown)),
            },
            dictionary: reader.u8()?,
            key_id: reader.u32()?,
            shelf: reader.u16()?,
            count: reader.u16()?,
            raw_len: reader.u32()?,
            body_hash: reader.array()?,
            claimed_time: Timestamp::from_millis(reader.i64()?),
            extensions: read_extensions(&mut reader)?,
        };
        header.check()?;
        Ok(header)
    }

    /// The rules between fields. What only a newer version may know comes last, so that what is
    /// wrong for good is never kept as unread.
    fn check(&self) -> Result<(), BatchError> {
        let is_first = self.prev == BatchId::from_bytes([0; 32]);
        if self.seq == 0 || i64::try_from(self.seq).is_err() || (self.seq == 1) != is_first {
            return Err(BatchError::Sequence(self.seq));
        }
        if self.kind == BatchKind::Control && self.lane != Lane::Urgent {
            return Err(BatchError::Lane(self.lane as u8));
        }
        if self.count == 0 || usize::from(self.count) > BATCH_ENTRIES_MAX {
            return Err(BatchError::Count(self.count));
        }
        if self.raw_len == 0 || self.raw_len as usize > BATCH_RAW_LEN_MAX {
            return Err(BatchError::RawLen(self.raw_len));
        }
        if self.encoding == BodyEncoding::ZstdDictionary || self.dictionary != 0 {
            return Err(BatchError::UnknownDictionary(self.dictionary));
        }
        if self.key_id != 0 {
            return Err(BatchError::UnknownKey(self.key_id));
        }
        if self.shelf != 0 {
            return Err(BatchError::UnknownShelf(self.shelf));
        }
        match self.extensions.iter().find(|extension| extension.critical) {
            Some(extension) => Err(BatchError::UnknownExtension(extension.tag)),
            None => Ok(()),
        }
    }
}

/// Nothing may follow the extensions: they are the header's end.
fn read_extensions(reader: &mut Reader<'_>) -> Result<Vec<Extension>, BatchError> {
    let len = usize::from(reader.u16()?);
    if len > BATCH_EXTENSIONS_LEN_MAX || len != reader.rest().len() {
        return Err(BatchError::Extensions);
    }
    let mut extensions: Vec<Extension> = Vec::new();
    while !reader.is_empty() {
        let tag = reader.u16()?;
        let critical = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(BatchError::Extensions),
        };
        let len = usize::from(reader.u16()?);
        if extensions.last().is_some_and(|last| last.tag >= tag) {
            return Err(BatchError::Extensions);
        }
        extensions.push(Extension { tag, critical, bytes: reader.take(len)?.to_vec() });
    }
    Ok(extensions)
}

/// The id of the batch with this header.
pub(super) fn id_of(header: &[u8]) -> BatchId {
    BatchId::from_bytes(blake3::derive_key(ID_CONTEXT, header))
}
