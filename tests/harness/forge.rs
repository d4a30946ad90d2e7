//! Writes what no honest core writes: batches and changes with every hash and signature right and
//! everything else as one likes. An implementation of its own, so that it can say what ours refuses
//! to say, and so that what it writes and ours reads are two opinions on the format.

pub mod change;

use barid_core::batch::{BatchKind, BodyEncoding, Header, Lane, VERSION};
use barid_core::clock::Timestamp;
use barid_core::id::{BatchId, DeviceId, Incarnation, SpaceId};
use barid_core::identity::Identity;

const SIGNATURE_CONTEXT: &str = "barid 2026 batch signature";
const SALT_CONTEXT: &str = "barid 2026 entry salt";
const ENTRY_CONTEXT: &str = "barid 2026 entry";
const BODY_CONTEXT: &str = "barid 2026 body";

/// Appends an unsigned LEB128 number.
pub fn put_uleb(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed LEB128 number.
pub fn put_sleb(out: &mut Vec<u8>, mut value: i64) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// A body as it is before compression, and the hash that its header must name.
#[derive(Debug, Clone)]
pub struct RawBody {
    /// Form, seed, entries.
    pub bytes: Vec<u8>,
    /// Over the hashes of the entries.
    pub hash: [u8; 32],
    /// How many entries.
    pub count: u16,
}

/// The body of these entries, each as it is to lie there.
pub fn raw_body(entries: &[Vec<u8>]) -> RawBody {
    let seed = [7u8; 16];
    let mut bytes = vec![0];
    bytes.extend(seed);
    let mut hashes = blake3::Hasher::new_derive_key(BODY_CONTEXT);
    for (index, entry) in (0u32..).zip(entries) {
        bytes.push(1);
        put_uleb(&mut bytes, entry.len() as u64);
        bytes.extend(entry);
        let mut salt = blake3::Hasher::new_derive_key(SALT_CONTEXT);
        salt.update(&seed).update(&index.to_be_bytes());
        let mut hash = blake3::Hasher::new_derive_key(ENTRY_CONTEXT);
        hash.update(&salt.finalize().as_bytes()[..16]).update(entry);
        hashes.update(hash.finalize().as_bytes());
    }
    let count = u16::try_from(entries.len()).unwrap_or(u16::MAX);
    RawBody { bytes, hash: *hashes.finalize().as_bytes(), count }
}

/// An entry that carries a change, of any kind and with any flags.
pub fn change_entry(record: [u8; 16], kind: &[u8], flags: u8, change: &[u8]) -> Vec<u8> {
    let mut entry = vec![1, flags];
    entry.extend(record);
    entry.push(kind.len() as u8);
    entry.extend(kind);
    entry.extend(change);
    entry
}

/// A chain that is written by hand.
#[derive(Debug)]
pub struct Chain<'a> {
    /// Who signs.
    pub key: &'a Identity,
    /// With which database file.
    pub incarnation: Incarnation,
    /// Where.
    pub space: SpaceId,
    /// In which lane.
    pub lane: Lane,
    /// The last batch's place; 0 before the first.
    pub seq: u64,
    /// The last batch.
    pub prev: BatchId,
}

impl<'a> Chain<'a> {
    /// A chain without a batch.
    pub fn new(key: &'a Identity, incarnation: u64, space: SpaceId, lane: Lane) -> Self {
        let incarnation = Incarnation::from_bytes(incarnation.to_be_bytes());
        Self { key, incarnation, space, lane, seq: 0, prev: BatchId::from_bytes([0; 32]) }
    }

    /// The actor of its changes.
    pub fn actor(&self) -> [u8; 16] {
        let (device, lane) = (self.key.device(), self.lane);
        let chain = barid_core::id::ChainId::derive(device, self.incarnation, self.space, lane);
        *chain.actor().as_bytes()
    }

    /// The header of the next batch, which carries this body as it is.
    pub fn header(&self, body: &RawBody) -> Header {
        Header {
            version: VERSION,
            algorithm: 1,
            device: self.key.device(),
            incarnation: self.incarnation,
            space: self.space,
            lane: self.lane,
            seq: self.seq + 1,
            prev: self.prev,
            control_head: BatchId::from_bytes([0; 32]),
            kind: BatchKind::Entries,
            encoding: BodyEncoding::Raw,
            dictionary: 0,
            key_id: 0,
            shelf: 0,
            count: body.count,
            raw_len: u32::try_from(body.bytes.len()).unwrap_or(u32::MAX),
            body_hash: body.hash,
            claimed_time: Timestamp::from_millis(1_790_000_000_000),
            extensions: Vec::new(),
        }
    }

    /// The next batch, which the chain then ends with, as a compressed one if that is smaller.
    pub fn next(&mut self, entries: &[Vec<u8>]) -> Vec<u8> {
        let body = raw_body(entries);
        let mut header = self.header(&body);
        let compressed = zstd::bulk::compress(&body.bytes, 3).unwrap();
        let stored = if compressed.len() < body.bytes.len() {
            header.encoding = BodyEncoding::Zstd;
            compressed
        } else {
            body.bytes
        };
        self.push(&header, &stored)
    }

    /// The same uncompressed, for whoever makes very many.
    pub fn next_raw(&mut self, entries: &[Vec<u8>]) -> Vec<u8> {
        let body = raw_body(entries);
        self.push(&self.header(&body), &body.bytes)
    }

    /// The next batch with this header and whatever body.
    pub fn push(&mut self, header: &Header, stored: &[u8]) -> Vec<u8> {
        (self.seq, self.prev) = (header.seq, header.id());
        sign(self.key, &header.to_bytes(), stored)
    }
}

/// Signs a header, sound or not, and puts a body behind it.
pub fn sign(key: &Identity, header: &[u8], stored: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(2 + header.len() + 64 + stored.len());
    bytes.extend((header.len() as u16).to_be_bytes());
    bytes.extend(header);
    bytes.extend(key.sign(SIGNATURE_CONTEXT, header));
    bytes.extend(stored);
    bytes
}

/// The key of the tests' hostile member.
pub fn rogue() -> Identity {
    Identity::from_seed([0x66; 32])
}

/// Its public half.
pub fn rogue_device() -> DeviceId {
    rogue().device()
}
