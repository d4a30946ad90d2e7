//! The file itself: whole, cut, altered, for somebody else.

mod stores;

use std::collections::HashSet;

use super::*;
use crate::batch::{BatchKind, Entry, Lane, SealSpec, SealedBatch, seal};
use crate::clock::Timestamp;
use crate::examples::check_hex;
use crate::id::{BatchId, Incarnation, SpaceId};
use crate::identity::Identity;

const RANDOM: [u8; 40] = [0x5a; 40];

fn recipient() -> Identity {
    Identity::from_seed([5; 32])
}

/// Some batches of one chain, the second one long enough for several messages.
fn batches() -> Vec<SealedBatch> {
    let key = Identity::from_seed([1; 32]);
    let mut prev = BatchId::from_bytes([0; 32]);
    let mut sealed = Vec::new();
    for (index, len) in [40, 140_000, 60, 50].into_iter().enumerate() {
        let spec = SealSpec {
            key: &key,
            incarnation: Incarnation::from_bytes([2; 8]),
            space: SpaceId::from_bytes([3; 32]),
            lane: Lane::Normal,
            seq: index as u64 + 1,
            prev,
            control_head: BatchId::from_bytes([4; 32]),
            kind: BatchKind::Entries,
            claimed_time: Timestamp::from_millis(1_790_000_000_000),
            seed: [0xa5; 16],
        };
        let mut bytes = vec![0; len];
        blake3::Hasher::new().update(&[index as u8]).finalize_xof().fill(&mut bytes);
        let batch = seal(spec, &[Entry::Unknown { tag: 200, bytes }]).unwrap();
        prev = batch.id();
        sealed.push(batch);
    }
    sealed
}

fn manifest(batches: &[SealedBatch]) -> Manifest {
    let mut manifest = Manifest::new(Timestamp::from_millis(1_790_000_000_000));
    batches.iter().for_each(|batch| manifest.add(batch));
    manifest
}

fn bundle(batches: &[SealedBatch]) -> Vec<u8> {
    let manifest = manifest(batches);
    let mut writer = BundleWriter::begin(Vec::new(), recipient().device(), &manifest, RANDOM).unwrap();
    batches.iter().for_each(|batch| writer.batch(batch).unwrap());
    writer.finish().unwrap()
}

/// Every batch that a file gives, and why it gives no more.
fn read(bytes: &[u8]) -> (Vec<SealedBatch>, Option<BundleError>, Option<Manifest>) {
    let mut reader = match BundleReader::open(bytes, &recipient()) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error), None),
    };
    let mut found = Vec::new();
    loop {
        match reader.next_item() {
            Ok(Some(BundleItem::Batch(batch))) => found.push(batch),
            Ok(Some(BundleItem::Unread(_))) => panic!("no batch here is newer"),
            Ok(None) => return (found, None, Some(reader.manifest().clone())),
            Err(error) => {
                assert!(matches!(reader.next_item(), Ok(None)), "nothing comes after an error");
                return (found, Some(error), Some(reader.manifest().clone()));
            }
        }
    }
}

/// Where each batch ends in the file.
fn ends(batches: &[SealedBatch]) -> Vec<usize> {
    let whole = bundle(batches).len();
    // The end is a message of its own, of one byte.
    let mut end = whole - (2 + 1 + 1 + 16);
    let mut ends: Vec<_> = batches
        .iter()
        .rev()
        .map(|batch| {
            let this = end;
            let said = 1 + batch.as_bytes().len();
            end -= said + said.div_ceil(65_280) * (2 + 1 + 16);
            this
        })
        .collect();
    ends.reverse();
    ends
}

#[test]
fn a_bundle_gives_back_what_was_put_in_and_says_so_beforehand() {
    let batches = batches();
    let (found, error, said) = read(&bundle(&batches));
    assert!(error.is_none(), "{error:?}");
    assert_eq!(found, batches);
    let said = said.unwrap();
    assert_eq!(said, manifest(&batches));
    assert_eq!((said.count(), said.spaces.len(), said.spaces[0].runs.len()), (4, 1, 1));
    let (none, error, _) = read(&bundle(&[]));
    assert!(none.is_empty() && error.is_none());
}

#[test]
fn a_bundle_cut_at_any_byte_gives_exactly_the_whole_batches_before_the_cut_and_names_the_rest() {
    let batches = batches();
    let whole = bundle(&batches);
    let ends = ends(&batches);
    let first = ends[0] - (1 + batches[0].as_bytes().len()) - 19;
    for cut in 0..whole.len() {
        // In the middle of what is encrypted, one byte is as good as another.
        let is_inside = |end: &usize| cut + 400 < *end && cut > end - 139_000;
        if is_inside(&ends[1]) && cut % 997 != 0 {
            continue;
        }
        let (found, error, said) = read(&whole[..cut]);
        match error.unwrap() {
            BundleError::NotABundle => assert_eq!(cut, 0),
            BundleError::Torn { offset } => assert_eq!(offset, cut as u64, "it says where"),
            other => panic!("cut at {cut}: {other:?}"),
        }
        let expected = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(found, batches[..expected], "cut at {cut}");
        assert_eq!(said.is_some(), cut >= first, "the manifest is whole or not, cut at {cut}");
        let Some(said) = said else { continue };
        let seen: HashSet<_> = found.iter().map(SealedBatch::id).collect();
        let missing: Vec<_> = missing(&said, &seen).into_iter().flat_map(|run| run.batches).collect();
        let rest: Vec<_> = batches[expected..].iter().map(SealedBatch::id).collect();
        assert_eq!(missing, rest);
    }
}

#[test]
fn a_bundle_altered_at_any_byte_gives_what_precedes_and_says_that_it_is_damaged() {
    let batches = [batches().swap_remove(0), batches().swap_remove(2)];
    let whole = bundle(&batches);
    let ends = ends(&batches);
    for at in 0..whole.len() {
        let mut altered = whole.clone();
        altered[at] ^= 0x20;
        let (found, error, _) = read(&altered);
        let error = error.unwrap_or_else(|| panic!("altered at {at}, and nobody sees it"));
        let is_expected = match at {
            0..8 => matches!(error, BundleError::NotABundle),
            8 => matches!(error, BundleError::Version(0x21)),
            9..25 => matches!(error, BundleError::ForAnother),
            // A length that is altered may also make the file too short.
            _ => matches!(error, BundleError::Damaged { .. } | BundleError::Torn { .. }),
        };
        assert!(is_expected, "altered at {at}: {error:?}");
        let expected = ends.iter().filter(|end| **end <= at).count();
        assert_eq!(found, batches[..expected], "altered at {at}");
    }
    let mut longer = whole.clone();
    longer.push(0);
    let (found, error, _) = read(&longer);
    assert_eq!(found, batches);
    assert!(matches!(error, Some(BundleError::Damaged { offset }) if offset == whole.len() as u64));
}

#[test]
fn a_bundle_opens_with_no_other_key_and_does_not_name_the_one() {
    let whole = bundle(&batches());
    for seed in [1, 6] {
        let error = BundleReader::open(&whole[..], &Identity::from_seed([seed; 32])).unwrap_err();
        assert!(matches!(error, BundleError::ForAnother));
    }
    let key = recipient().device();
    assert!(whole.windows(8).all(|window| window != &key.as_bytes()[..8]));
    // A forged hint does not help.
    let (stranger, mut forged) = (Identity::from_seed([6; 32]), whole.clone());
    forged[..HEAD_LEN].copy_from_slice(&head(stranger.device(), [0x5a; 8]));
    let error = BundleReader::open(&forged[..], &stranger).unwrap_err();
    assert!(matches!(error, BundleError::Damaged { offset: 25 }));
}

#[test]
fn files_that_are_no_bundles_say_so() {
    for bytes in [&b""[..], b"x", b"SQLite format 3\0 and more of it", &[0; 100], b"\x89PNG\r\n\x1a\n"] {
        assert!(matches!(read(bytes).1, Some(BundleError::NotABundle)), "{bytes:?}");
    }
}

#[test]
fn a_manifest_in_another_form_or_beyond_its_bounds_is_refused() {
    let bytes = manifest(&batches()).to_bytes();
    assert!(Manifest::from_bytes(&bytes).is_ok());
    for len in 0..bytes.len() {
        assert!(Manifest::from_bytes(&bytes[..len]).is_err(), "cut at {len}");
    }
    assert!(Manifest::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    let mut many = vec![0; 8];
    many.extend([0, 1]);
    many.extend([3; 32]);
    many.extend([0xff, 0xff, 0xff, 0x7f]);
    assert!(Manifest::from_bytes(&many).is_err(), "more runs than may be");
}

#[test]
fn a_file_is_there_when_it_is_whole_and_never_in_the_place_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("to-relay.barid");
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    let failed: Result<(), FileError> = write_file(&path, |file| {
        io::Write::write_all(file, b"half").unwrap();
        assert!(!path.exists());
        Err(FileError::Exists)
    });
    assert!(failed.is_err());
    assert_eq!(names(), 0, "nothing is left of it");
    write_file(&path, |file| io::Write::write_all(file, b"whole").map_err(FileError::Write)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"whole");
    let again: Result<(), FileError> = write_file(&path, |_| panic!("it is not even begun"));
    assert!(matches!(again, Err(FileError::Exists)));
    assert_eq!((std::fs::read(&path).unwrap(), names()), (b"whole".to_vec(), 1));
}

/// For the key of thirty-two `05`: the raw batch of the page, and nothing else.
#[test]
fn a_bundle_is_as_in_the_example() {
    let batch = crate::examples::raw_batch();
    check_hex("bundle", &bundle(&[batch]));
}
