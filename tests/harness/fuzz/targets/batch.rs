//! One batch: parsed, verified, opened, erased, and carried by a link.

use barid_core::batch::{BatchError, BodyEncoding, BodyEntry, ChangeEntry, Entry, Header, Lane, SealedBatch};
use barid_core::control::Verdict;
use barid_core::id::{RecordId, SpaceId};
use barid_core::identity::Identity;
use barid_core::limits::{BATCH_LEN_MAX, BATCH_RAW_LEN_MAX};

use super::super::{Target, bits, kind, packets, signal};
use super::change::history;
use crate::forge::{self, Chain, RawBody, raw_body};

/// The first byte says how much of the batch is made sound after the mutation: nothing, its
/// signature, or its body's hash, count and length as well.
pub(super) struct Batch {
    key: Identity,
}

const AS_IT_IS: u8 = 0;
const SIGNED: u8 = 1;
const SOUND: u8 = 2;

impl Batch {
    pub(super) fn new() -> Self {
        Self { key: forge::rogue() }
    }

    fn chain(&self) -> Chain<'_> {
        Chain::new(&self.key, 1, SpaceId::from_bytes([3; 32]), Lane::Normal)
    }

    /// The batch that an input stands for.
    fn build(&self, input: &[u8]) -> Vec<u8> {
        let (mode, rest) = input.split_first().unwrap_or((&0, &[]));
        let parts = packets::split(rest);
        let part = |at: usize| parts.get(at).copied().unwrap_or_default();
        match mode % 3 {
            AS_IT_IS => rest.to_vec(),
            SIGNED => {
                let mut header = part(0).to_vec();
                self.sign_as_ours(&mut header);
                forge::sign(&self.key, &header, part(1))
            }
            _ => {
                let entries: Vec<Vec<u8>> = parts.iter().skip(1).map(|entry| entry.to_vec()).collect();
                let body = raw_body(&entries);
                let mut header = part(0).to_vec();
                self.sign_as_ours(&mut header);
                let is_compressed = header.get(ENCODING_AT) == Some(&1);
                make_sound(&mut header, &body);
                let stored =
                    if is_compressed { zstd::bulk::compress(&body.bytes, 1).unwrap() } else { body.bytes };
                forge::sign(&self.key, &header, &stored)
            }
        }
    }

    fn sign_as_ours(&self, header: &mut [u8]) {
        if let Some(device) = header.get_mut(2..34) {
            device.copy_from_slice(self.key.device().as_bytes());
        }
    }
}

/// Where the header's fields lie.
const ENCODING_AT: usize = 149;
const COUNT_AT: usize = 157;

fn make_sound(header: &mut [u8], body: &RawBody) {
    if let Some(fields) = header.get_mut(COUNT_AT..COUNT_AT + 38) {
        fields[..2].copy_from_slice(&body.count.to_be_bytes());
        fields[2..6].copy_from_slice(&(body.bytes.len() as u32).to_be_bytes());
        fields[6..].copy_from_slice(&body.hash);
    }
}

impl Target for Batch {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn len_max(&self) -> usize {
        16 * 1024
    }

    fn is_packets(&self) -> bool {
        true
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let change = history().remove(0);
        let change = ChangeEntry {
            record: RecordId::from_bytes([4; 16]),
            kind: "event".into(),
            continues: true,
            change,
        };
        let entries = [
            Entry::Change(change),
            Entry::Unknown { tag: 200, bytes: vec![1; 40] },
            Entry::Unknown { tag: 99, bytes: vec![] },
        ]
        .map(|entry| entry.encode().unwrap())
        .to_vec();
        let body = raw_body(&entries);
        let header = |encoding| Header { encoding, ..self.chain().header(&body) };
        let whole = self.chain().next(&entries);
        let compressed = zstd::bulk::compress(&body.bytes, 3).unwrap();
        let (raw, zstd) = (header(BodyEncoding::Raw).to_bytes(), header(BodyEncoding::Zstd).to_bytes());
        let sound = [vec![zstd.clone()], entries.clone()].concat();
        let mut extended = header(BodyEncoding::Raw);
        extended.extensions =
            vec![barid_core::batch::Extension { tag: 5, critical: false, bytes: vec![1, 2] }];
        vec![
            [&[AS_IT_IS], whole.as_slice()].concat(),
            [vec![SIGNED], packets::join([&raw, &body.bytes])].concat(),
            [vec![SIGNED], packets::join([&zstd, &compressed])].concat(),
            [vec![SOUND], packets::join(&sound)].concat(),
            [vec![SOUND], packets::join([extended.to_bytes(), entries[1].clone()])].concat(),
        ]
    }

    fn words(&self) -> Vec<Vec<u8>> {
        // zstd's magic, a skippable frame, an empty frame; forms of a body; tags of entries.
        vec![
            vec![0x28, 0xb5, 0x2f, 0xfd],
            vec![0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 0, 0, 0, 0],
            vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0],
            vec![0, 0],
            vec![1, 0],
            vec![1, 1],
            vec![2],
            vec![3],
            vec![4],
        ]
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let bytes = self.build(input);
        let batch = match SealedBatch::parse(bytes.clone()) {
            Ok(batch) => batch,
            Err(error) => return signal((1, kind(&error), kind(&Verdict::from(error)))),
        };
        assert_eq!(batch.as_bytes(), bytes, "the same bytes everywhere");
        assert_eq!(batch.header().id(), batch.id(), "a header reads back as it was");
        // What the relay asks before its log.
        let verified = barid_server::log::verify(batch.clone());
        let body = match batch.verify_signature().and_then(|()| batch.open()) {
            Ok(body) => body,
            Err(error) => {
                assert_eq!(verified.err(), Some(error));
                return signal((2, kind(&error)));
            }
        };
        assert!(verified.is_ok());
        assert_eq!(body.entries.len(), usize::from(batch.header().count));
        let len: usize = body.entries.iter().map(read_entry).sum();
        assert!(len <= BATCH_RAW_LEN_MAX, "a body stays within its bound");
        let places: Vec<usize> = (0..body.entries.len()).collect();
        let picked = &places[..places.len().min(usize::from(input[0] / 3) % 8)];
        for erased in [picked, &places] {
            assert_erased(&batch, &body.entries, erased);
        }
        let kinds = body.entries.iter().map(entry_kind).fold(0u64, |all, one| all | 1 << (one % 64));
        signal((3, kinds, bits(body.entries.len())))
    }
}

/// An entry that could be read is written as it was; its length.
fn read_entry(entry: &BodyEntry) -> usize {
    let BodyEntry::Present { entry, .. } = entry else { return 32 };
    match entry.encode() {
        Ok(bytes) => {
            assert_eq!(&Entry::decode(&bytes), entry);
            bytes.len()
        }
        Err(_) => {
            assert!(matches!(entry, Entry::Unreadable { .. } | Entry::Unknown { .. }));
            0
        }
    }
}

fn entry_kind(entry: &BodyEntry) -> u64 {
    match entry {
        BodyEntry::Erased { .. } => 1,
        BodyEntry::Present { entry: Entry::Unreadable { error, .. }, .. } => kind(error),
        BodyEntry::Present { entry, .. } => kind(entry),
    }
}

/// What is left after an erasure is the same batch, to everybody.
fn assert_erased(batch: &SealedBatch, before: &[BodyEntry], places: &[usize]) {
    let erased = match batch.erase(places) {
        Ok(erased) => erased,
        Err(error) => panic!("a batch that opens can be erased: {error:?}"),
    };
    assert_eq!(erased.id(), batch.id());
    assert!(erased.as_bytes().len() <= BATCH_LEN_MAX);
    assert_eq!(erased.verify_signature(), Ok(()));
    let after = erased.open();
    assert_ne!(after, Err(BatchError::BodyHash));
    for (place, (before, after)) in before.iter().zip(&after.unwrap().entries).enumerate() {
        let hash = |entry: &BodyEntry| match entry {
            BodyEntry::Present { hash, .. } | BodyEntry::Erased { hash } => *hash,
        };
        assert_eq!(hash(before), hash(after));
        if places.contains(&place) {
            assert!(matches!(after, BodyEntry::Erased { .. }));
        } else {
            assert_eq!(before, after);
        }
    }
}
