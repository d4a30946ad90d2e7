//! Claims about sealed batches, most of them about bytes that somebody tampered with.

use super::*;
use crate::batch::{ChangeEntry, Extension};
use crate::id::RecordId;

fn key() -> Identity {
    Identity::from_seed([1; 32])
}

fn spec(key: &Identity) -> SealSpec<'_> {
    SealSpec {
        key,
        incarnation: Incarnation::from_bytes([2; 8]),
        space: SpaceId::from_bytes([3; 32]),
        lane: Lane::Normal,
        seq: 1,
        prev: BatchId::from_bytes([0; 32]),
        control_head: BatchId::from_bytes([4; 32]),
        kind: BatchKind::Entries,
        claimed_time: Timestamp::from_millis(1_790_000_000_000),
        seed: [0xa5; 16],
    }
}

fn change(byte: u8, len: usize) -> Entry {
    Entry::Change(ChangeEntry {
        record: RecordId::from_bytes([byte; 16]),
        kind: "event".to_owned(),
        continues: false,
        change: vec![byte; len],
    })
}

/// Too varied to compress.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn raw_batch() -> SealedBatch {
    let entries =
        [Entry::Unknown { tag: 9, bytes: noise(40) }, Entry::Unknown { tag: 200, bytes: Vec::new() }];
    let batch = seal(spec(&key()), &entries).unwrap();
    assert_eq!(batch.header().encoding, BodyEncoding::Raw);
    batch
}

fn compressed_batch() -> SealedBatch {
    let entries: Vec<_> = (0..20).map(|byte| change(byte, 60)).collect();
    let batch = seal(spec(&key()), &entries).unwrap();
    assert_eq!(batch.header().encoding, BodyEncoding::Zstd);
    batch
}

fn check(bytes: Vec<u8>) -> Result<Body, BatchError> {
    let batch = SealedBatch::parse(bytes)?;
    batch.verify_signature()?;
    batch.open()
}

/// Signs a header and body that no honest core would.
fn forge(change: impl FnOnce(&mut Header), stored: &[u8]) -> Vec<u8> {
    let mut header = raw_batch().header().clone();
    change(&mut header);
    assemble(&key(), &header.to_bytes(), stored)
}

#[test]
fn what_is_sealed_is_opened() {
    let entries = vec![
        change(7, 300),
        Entry::Unknown { tag: 77, bytes: b"from tomorrow".to_vec() },
        Entry::Change(ChangeEntry {
            record: RecordId::from_bytes([9; 16]),
            kind: "مشاهدة".to_owned(),
            continues: true,
            change: noise(100),
        }),
    ];
    let batch = seal(spec(&key()), &entries).unwrap();
    let again = SealedBatch::parse(batch.as_bytes().to_vec()).unwrap();
    assert_eq!(again.verify_signature(), Ok(()));
    assert_eq!((again.id(), again.chain()), (batch.header().id(), batch.header().chain()));
    let opened: Vec<_> = again
        .open()
        .unwrap()
        .entries
        .into_iter()
        .map(|entry| match entry {
            BodyEntry::Present { entry, .. } => entry,
            BodyEntry::Erased { .. } => panic!("nothing was erased"),
        })
        .collect();
    assert_eq!(opened, entries);
}

#[test]
fn a_batch_with_a_flipped_bit_is_refused() {
    let bytes = raw_batch().as_bytes().to_vec();
    assert!(check(bytes.clone()).is_ok());
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(check(flipped).is_err(), "bit {bit}");
    }
}

/// Compressed bytes have more than one form for the same content, and only the content is signed.
#[test]
fn a_compressed_batch_with_a_flipped_bit_is_refused_or_says_the_same() {
    let batch = compressed_batch();
    let signed_len = batch.as_bytes().len() - batch.body_bytes().len();
    let body = batch.open().unwrap();
    for bit in 0..batch.as_bytes().len() * 8 {
        let mut flipped = batch.as_bytes().to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match check(flipped) {
            Ok(opened) => assert!(bit / 8 >= signed_len && opened == body, "bit {bit}"),
            Err(error) => assert!(bit / 8 < signed_len || !error.keeps_unread(), "bit {bit}"),
        }
    }
}

#[test]
fn a_batch_cut_short_at_any_byte_or_made_longer_is_refused() {
    for batch in [raw_batch(), compressed_batch()] {
        for len in 0..batch.as_bytes().len() {
            assert!(check(batch.as_bytes()[..len].to_vec()).is_err(), "{len} bytes");
        }
        assert!(check([batch.as_bytes(), &[0]].concat()).is_err());
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];
        assert!(check([batch.as_bytes(), &skippable].concat()).is_err());
    }
}

#[test]
fn a_batch_of_an_unknown_version_is_told_apart_and_has_its_id() {
    let mut bytes = raw_batch().as_bytes().to_vec();
    bytes[2] = VERSION + 1;
    let error = SealedBatch::parse(bytes.clone()).unwrap_err();
    assert_eq!(error, BatchError::UnknownVersion(VERSION + 1));
    assert!(error.keeps_unread());
    assert!(unread_id(&bytes).is_some());
    assert_eq!(unread_id(raw_batch().as_bytes()), Some(raw_batch().id()));
    // A later version may have a header of any length, and anything behind it.
    assert_eq!(SealedBatch::parse(vec![0, 1, 9]).unwrap_err(), BatchError::UnknownVersion(9));
}

#[test]
fn what_a_newer_version_may_know_is_kept_unread() {
    let body = raw_batch().body_bytes().to_vec();
    let critical = |critical| vec![Extension { tag: 5, critical, bytes: vec![1, 2] }];
    for (bytes, expected) in [
        (forge(|h| h.extensions = critical(true), &body), BatchError::UnknownExtension(5)),
        (forge(|h| h.algorithm = 2, &body), BatchError::UnknownAlgorithm(2)),
        (forge(|h| h.encoding = BodyEncoding::ZstdDictionary, &body), BatchError::UnknownDictionary(0)),
        (forge(|h| h.dictionary = 3, &body), BatchError::UnknownDictionary(3)),
        (forge(|h| h.key_id = 8, &body), BatchError::UnknownKey(8)),
        (forge(|h| h.shelf = 1, &body), BatchError::UnknownShelf(1)),
    ] {
        assert_eq!(check(bytes), Err(expected));
        assert!(expected.keeps_unread());
    }
    assert!(check(forge(|h| h.extensions = critical(false), &body)).is_ok());
}

#[test]
fn a_header_that_contradicts_itself_is_refused() {
    let body = raw_batch().body_bytes().to_vec();
    let twice = || {
        let extension = Extension { tag: 5, critical: false, bytes: vec![] };
        vec![extension.clone(), extension]
    };
    let long = || vec![Extension { tag: 5, critical: false, bytes: vec![0; 1020] }];
    let prev = BatchId::from_bytes([6; 32]);
    for (bytes, expected) in [
        (forge(|h| h.seq = 0, &body), BatchError::Sequence(0)),
        (forge(|h| h.seq = 2, &body), BatchError::Sequence(2)),
        (forge(|h| h.prev = prev, &body), BatchError::Sequence(1)),
        (forge(|h| (h.seq, h.prev) = (u64::MAX, prev), &body), BatchError::Sequence(u64::MAX)),
        (forge(|h| h.count = 0, &body), BatchError::Count(0)),
        (forge(|h| h.count = 513, &body), BatchError::Count(513)),
        (forge(|h| h.raw_len = 0, &body), BatchError::RawLen(0)),
        (forge(|h| h.raw_len = u32::MAX, &body), BatchError::RawLen(u32::MAX)),
        (forge(|h| h.kind = BatchKind::Control, &body), BatchError::Lane(1)),
        (forge(|h| h.extensions = twice(), &body), BatchError::Extensions),
        (forge(|h| h.extensions = long(), &body), BatchError::Extensions),
        (forge(|_| (), &[]), BatchError::Truncated),
        (forge(|_| (), &vec![0; BATCH_LEN_MAX]), BatchError::TooLarge { len: BATCH_LEN_MAX + 270 }),
    ] {
        assert_eq!(check(bytes), Err(expected));
        assert!(!expected.keeps_unread());
    }
}

#[test]
fn lies_about_count_and_length_are_found() {
    let batch = raw_batch();
    let (count, raw_len) = (batch.header().count, batch.header().raw_len);
    let body = batch.body_bytes();
    for count in [count - 1, count + 1, 512] {
        assert_eq!(check(forge(|h| h.count = count, body)), Err(BatchError::Body));
    }
    for raw_len in [1, raw_len - 1, raw_len + 1, BATCH_RAW_LEN_MAX as u32] {
        assert_eq!(check(forge(|h| h.raw_len = raw_len, body)), Err(BatchError::Body));
    }
    let compressed = zstd::bulk::compress(body, 3).unwrap();
    for raw_len in [raw_len - 1, raw_len + 1] {
        let bytes = forge(|h| (h.encoding, h.raw_len) = (BodyEncoding::Zstd, raw_len), &compressed);
        assert_eq!(check(bytes), Err(BatchError::Body));
    }
}

#[test]
fn a_bomb_is_not_inflated_beyond_its_claim() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 19).unwrap();
    assert!(bomb.len() < 8 << 10);
    // The same without the content size, as a stream would write it.
    let unsized_bomb = {
        let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
        compressor.set_parameter(zstd::zstd_safe::CParameter::ContentSizeFlag(false)).unwrap();
        compressor.compress(&vec![0; 64 << 20]).unwrap()
    };
    // A frame that claims to hold little and holds much.
    let mut liar = zstd::bulk::compress(&vec![0; 100_000], 3).unwrap();
    assert_eq!(liar[4] >> 6, 2, "a content size of four bytes");
    liar[5..9].copy_from_slice(&100u32.to_le_bytes());
    for stored in [bomb, unsized_bomb, liar] {
        let raw_len = BATCH_RAW_LEN_MAX as u32;
        let bytes = forge(|h| (h.encoding, h.raw_len) = (BodyEncoding::Zstd, raw_len), &stored);
        assert_eq!(check(bytes), Err(BatchError::Compression));
    }
}

#[test]
fn erased_entries_keep_the_batch_valid_and_take_the_seed_along() {
    for batch in [raw_batch(), compressed_batch()] {
        let whole = batch.open().unwrap();
        let erased = batch.erase(&[1]).unwrap();
        assert_eq!((erased.id(), erased.verify_signature()), (batch.id(), Ok(())));
        let body = erased.open().unwrap();
        for (index, (before, after)) in whole.entries.iter().zip(&body.entries).enumerate() {
            match (before, after) {
                (BodyEntry::Present { hash, .. }, BodyEntry::Erased { hash: left }) => {
                    assert_eq!((index, hash), (1, left));
                }
                (before, after) => assert_eq!(before, after),
            }
        }
        let raw = erased.raw_body().unwrap();
        assert!(!raw.windows(16).any(|window| window == [0xa5; 16]), "the seed is still there");
        // Erasing again, or all, stays valid.
        let nothing_left = erased.erase(&(0..20).collect::<Vec<_>>()).unwrap().open().unwrap();
        assert!(nothing_left.entries.iter().all(|entry| matches!(entry, BodyEntry::Erased { .. })));
    }
}

#[test]
fn the_largest_body_stays_readable_when_it_is_erased() {
    let mut entries: Vec<_> = (0..511).map(|_| Entry::Unknown { tag: 9, bytes: Vec::new() }).collect();
    let used = BODY_HEAD + entries.len() * 3;
    entries.push(Entry::Unknown { tag: 9, bytes: noise(BATCH_RAW_LEN_MAX - used - 5) });
    let batch = seal(spec(&key()), &entries).unwrap();
    assert_eq!(batch.header().raw_len as usize, BATCH_RAW_LEN_MAX);
    assert!(batch.erase(&(0..511).collect::<Vec<_>>()).unwrap().open().is_ok());
    assert!(batch.erase(&[3]).unwrap().open().is_ok());
}

const BODY_HEAD: usize = crate::batch::BODY_HEAD_LEN;

#[test]
fn an_entry_that_nobody_would_write_spoils_no_other() {
    let good = change(1, 10).encode().unwrap();
    let mut bad_flag = good.clone();
    bad_flag[1] = 2;
    let mut bad_kind = good.clone();
    bad_kind[18] = 0;
    let statement = Entry::Control(vec![1]).encode().unwrap();
    let entries: [&[u8]; 7] = [&bad_flag, &[], &good, &bad_kind, &statement, &[1], &[2, 0]];
    let (raw, body_hash) = body::write_sealed([5; 16], entries);
    let set = |h: &mut Header| (h.count, h.raw_len, h.body_hash) = (7, raw.len() as u32, body_hash);
    let body = check(forge(set, &raw)).unwrap();
    let errors: Vec<_> = body
        .entries
        .iter()
        .map(|entry| match entry {
            BodyEntry::Present { entry: Entry::Unreadable { error, .. }, .. } => Some(*error),
            _ => None,
        })
        .collect();
    assert_eq!(
        errors,
        [
            Some(EntryError::UnknownFlag),
            Some(EntryError::Malformed),
            None,
            Some(EntryError::Kind),
            Some(EntryError::Misplaced),
            Some(EntryError::Malformed),
            Some(EntryError::Track(crate::model::track::TrackError::Malformed)),
        ]
    );
}

#[test]
fn what_would_not_be_read_back_is_not_sealed() {
    let key = key();
    let seal_error = |spec: SealSpec<'_>, entries: &[Entry]| seal(spec, entries).unwrap_err();
    let long: Vec<_> = (0..5).map(|byte| change(byte, 60_000)).collect();
    assert!(matches!(seal_error(spec(&key), &[]), SealError::Batch(BatchError::Count(0))));
    assert!(matches!(seal_error(spec(&key), &long), SealError::Batch(BatchError::RawLen(_))));
    assert!(matches!(
        seal_error(spec(&key), &vec![change(1, 1); 513]),
        SealError::Batch(BatchError::Count(513))
    ));
    assert!(matches!(
        seal_error(SealSpec { seq: 2, ..spec(&key) }, &[change(1, 1)]),
        SealError::Batch(BatchError::Sequence(2))
    ));
    for (entry, expected) in [
        (change(1, 65_537), EntryError::Len { len: 65_537 }),
        (change(1, 0), EntryError::Len { len: 0 }),
        (Entry::Control(vec![1]), EntryError::Misplaced),
        (Entry::Unknown { tag: 1, bytes: vec![] }, EntryError::KnownTag),
    ] {
        match seal_error(spec(&key), &[change(1, 1), entry]) {
            SealError::Entry { index: 1, source } => assert_eq!(source, expected),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn single_entries_are_read_without_the_others() {
    let batch = compressed_batch();
    let all = batch.open().unwrap().entries;
    assert_eq!(batch.open_entries(&[19, 0, 20]).unwrap(), [all[19].clone(), all[0].clone()]);
}

#[test]
fn debug_output_shows_no_content() {
    let text = format!("{:?} {:?}", compressed_batch(), change(0x41, 8));
    assert!(!text.contains("AAAA") && !text.contains("65, 65"), "{text}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..512)) {
        let _refused = check(bytes);
    }

    /// A member may sign whatever it likes: what a body says is hostile behind a good signature too.
    #[test]
    fn any_signed_body_is_read_or_refused(
        body in proptest::collection::vec(proptest::num::u8::ANY, 1..300),
        form in 0u8..2, count in 1u16..4, is_compressed in proptest::bool::ANY,
    ) {
        let mut raw = body;
        raw[0] = form;
        let raw_len = raw.len() as u32;
        let (encoding, stored) = if is_compressed {
            (BodyEncoding::Zstd, zstd::bulk::compress(&raw, 1).unwrap())
        } else {
            (BodyEncoding::Raw, raw)
        };
        let bytes = forge(|h| (h.encoding, h.count, h.raw_len) = (encoding, count, raw_len), &stored);
        proptest::prop_assert!(check(bytes).is_err(), "its hash is another");
    }

    #[test]
    fn any_entries_open_as_they_were_sealed(
        entries in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..64), 1..20),
        erased in proptest::collection::vec(0usize..20, 0..20),
    ) {
        let (raw, body_hash) = body::write_sealed([5; 16], entries.iter().map(Vec::as_slice));
        let (count, raw_len) = (entries.len() as u16, raw.len() as u32);
        let bytes = forge(|h| (h.count, h.raw_len, h.body_hash) = (count, raw_len, body_hash), &raw);
        let batch = SealedBatch::parse(bytes).unwrap();
        let opened = batch.open().unwrap();
        for (bytes, opened) in entries.iter().zip(&opened.entries) {
            if let BodyEntry::Present { entry, .. } = opened {
                // What could be read is written as it came.
                let is_unreadable = matches!(entry, Entry::Unreadable { .. });
                proptest::prop_assert!(is_unreadable || entry.encode().as_ref() == Ok(bytes));
            }
        }
        proptest::prop_assert!(batch.erase(&erased).unwrap().open().is_ok());
    }
}

/// Not a claim about time, which would fail on a busy machine; run it in release to see the cost.
#[test]
#[ignore = "a measurement"]
fn what_verifying_and_opening_two_hundred_and_fifty_changes_costs() {
    let entries: Vec<_> = (0..250u16)
        .map(|index| {
            let mut change = noise(385);
            change[..2].copy_from_slice(&index.to_be_bytes());
            Entry::Change(ChangeEntry {
                record: RecordId::from_bytes([index as u8; 16]),
                kind: "event".to_owned(),
                continues: false,
                change,
            })
        })
        .collect();
    let bytes = seal(spec(&key()), &entries).unwrap().as_bytes().to_vec();
    let rounds = 200;
    let mut spent = [std::time::Duration::ZERO; 3];
    for _ in 0..rounds {
        let begin = std::time::Instant::now();
        let batch = SealedBatch::parse(bytes.clone()).unwrap();
        let parsed = std::time::Instant::now();
        batch.verify_signature().unwrap();
        let verified = std::time::Instant::now();
        assert_eq!(batch.open().unwrap().entries.len(), 250);
        spent[0] += parsed - begin;
        spent[1] += verified - parsed;
        spent[2] += verified.elapsed();
    }
    let [parse, verify, open] = spent.map(|spent| spent / rounds);
    println!("{} bytes: parse {parse:?}, verify {verify:?}, open {open:?}", bytes.len());
}
