//! What every place for attachments does: asked of each.

use std::sync::Arc;

use super::file::FileBlobs;
use super::memory::MemoryBlobs;
use super::*;

/// Runs a claim on every place.
fn on_each(claim: impl Fn(&dyn Blobs)) {
    let dir = tempfile::tempdir().unwrap();
    let places: [Arc<dyn Blobs>; 2] =
        [Arc::new(FileBlobs::new(dir.path().join("attachments"))), Arc::new(MemoryBlobs::default())];
    for place in places {
        claim(&*place);
    }
}

fn bytes_of(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|place| (place as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

fn part(bytes: &[u8], space: u8, device: u8) -> PartId {
    let hash = AttachmentHash::from_bytes(*blake3::hash(bytes).as_bytes());
    let blob = BlobId { space: SpaceId::from_bytes([space; 32]), hash };
    PartId { blob, device: DeviceId::from_bytes([device; 32]) }
}

#[test]
fn what_came_in_pieces_is_read_as_a_whole_and_in_ranges() {
    on_each(|blobs| {
        let bytes = bytes_of(1, 200_000);
        let part = part(&bytes, 1, 1);
        let len = bytes.len() as u64;
        let mut offset = 0;
        for piece in bytes.chunks(16 * 1024) {
            assert_eq!(blobs.part(part, len).unwrap(), offset);
            assert_eq!(blobs.whole(part.blob).unwrap(), None);
            assert_eq!(blobs.read(part.blob, 0, 10).unwrap(), None, "nothing is shown before it is whole");
            let put = blobs.put(part, len, offset, piece).unwrap();
            offset += piece.len() as u64;
            assert_eq!(put, if offset == len { Put::Whole } else { Put::Held(offset) });
        }
        assert_eq!(blobs.whole(part.blob).unwrap(), Some(len));
        assert_eq!(
            blobs.read(part.blob, 0, usize::MAX).unwrap().unwrap(),
            Piece { len, bytes: bytes.clone() }
        );
        let middle = blobs.read(part.blob, 70_000, 5).unwrap().unwrap();
        assert_eq!(middle.bytes, bytes[70_000..70_005]);
        assert_eq!(blobs.read(part.blob, len - 3, 500).unwrap().unwrap().bytes, bytes[bytes.len() - 3..]);
        assert_eq!(blobs.read(part.blob, u64::MAX, 500).unwrap().unwrap(), Piece { len, bytes: Vec::new() });
        assert_eq!(blobs.list().unwrap(), [(part.blob, len)]);
    });
}

#[test]
fn a_piece_that_does_not_follow_changes_nothing_and_is_answered_with_what_is_held() {
    on_each(|blobs| {
        let bytes = bytes_of(2, 1000);
        let part = part(&bytes, 1, 1);
        let put = |offset: u64, bytes: &[u8]| blobs.put(part, 1000, offset, bytes).unwrap();
        assert_eq!(put(10, &bytes[10..20]), Put::Held(0), "nothing came before it");
        assert_eq!(put(0, &bytes[..400]), Put::Held(400));
        for (offset, piece) in [
            (0, &bytes[..400]),
            (399, &bytes[399..500]),
            (401, &bytes[401..500]),
            (1000, &bytes[..1]),
            (u64::MAX, &bytes[..1]),
            (400, &[0; 601][..]),
        ] {
            assert_eq!(put(offset, piece), Put::Held(400), "{offset}");
        }
        assert_eq!(put(400, &[]), Put::Held(400));
        assert_eq!(put(400, &bytes[400..]), Put::Whole);
        assert_eq!(put(0, &bytes[..400]), Put::Whole, "it is held, whatever comes");
    });
}

#[test]
fn what_has_another_hash_is_gone_and_can_be_sent_again() {
    on_each(|blobs| {
        let bytes = bytes_of(3, 1000);
        let part = part(&bytes, 1, 1);
        assert_eq!(blobs.put(part, 1000, 0, &bytes[1..]).unwrap(), Put::Held(999));
        assert_eq!(blobs.put(part, 1000, 999, b"x").unwrap(), Put::Mismatch);
        assert_eq!(blobs.part(part, 1000).unwrap(), 0);
        assert_eq!(blobs.whole(part.blob).unwrap(), None);
        assert_eq!(blobs.list().unwrap(), []);
        assert_eq!(blobs.put(part, 1000, 0, &bytes).unwrap(), Put::Whole);
    });
}

#[test]
fn a_length_that_was_a_lie_ends_in_another_hash_and_another_length_begins_anew() {
    on_each(|blobs| {
        let bytes = bytes_of(4, 1000);
        let part = part(&bytes, 1, 1);
        assert_eq!(blobs.put(part, 500, 0, &bytes[..500]).unwrap(), Put::Mismatch, "it ends too soon");
        assert_eq!(blobs.put(part, 2000, 0, &bytes).unwrap(), Put::Held(1000), "it never ends");
        assert_eq!(blobs.part(part, 1000).unwrap(), 0);
        for len in 2000..2100 {
            assert_eq!(blobs.put(part, len, 0, &bytes).unwrap(), Put::Held(1000));
        }
        let idle = Duration::from_secs(3600);
        assert_eq!(blobs.sweep(idle).unwrap(), [(part, 1000)], "there is one beginning at a time");
        assert_eq!(blobs.put(part, 1000, 0, &bytes).unwrap(), Put::Whole);
    });
}

#[test]
fn what_one_device_sends_is_not_spoiled_by_another() {
    on_each(|blobs| {
        let bytes = bytes_of(5, 1000);
        let (honest, hostile) = (part(&bytes, 1, 1), part(&bytes, 1, 2));
        assert_eq!(blobs.put(hostile, 1000, 0, &[0; 600]).unwrap(), Put::Held(600));
        assert_eq!(blobs.part(honest, 1000).unwrap(), 0);
        assert_eq!(blobs.put(honest, 1000, 0, &bytes[..700]).unwrap(), Put::Held(700));
        assert_eq!(blobs.put(hostile, 1000, 600, &[0; 400]).unwrap(), Put::Mismatch);
        assert_eq!(blobs.put(honest, 1000, 700, &bytes[700..]).unwrap(), Put::Whole);
        assert_eq!(blobs.put(hostile, 1000, 0, &[0; 600]).unwrap(), Put::Whole, "nothing is written over");
        assert_eq!(blobs.read(honest.blob, 0, 2000).unwrap().unwrap().bytes, bytes);
    });
}

#[test]
fn a_space_knows_nothing_of_what_another_holds() {
    on_each(|blobs| {
        let bytes = bytes_of(6, 1000);
        let (here, elsewhere) = (part(&bytes, 1, 1), part(&bytes, 2, 1));
        blobs.put(here, 1000, 0, &bytes).unwrap();
        assert_eq!(blobs.whole(elsewhere.blob).unwrap(), None);
        assert_eq!(blobs.read(elsewhere.blob, 0, 10).unwrap(), None);
        assert_eq!(blobs.put(elsewhere, 1000, 0, &bytes[..10]).unwrap(), Put::Held(10));
        assert!(blobs.remove(elsewhere.blob).unwrap());
        assert_eq!(blobs.whole(here.blob).unwrap(), Some(1000));
    });
}

#[test]
fn what_is_removed_is_gone_with_what_was_being_sent_of_it() {
    on_each(|blobs| {
        let bytes = bytes_of(7, 1000);
        let (one, two) = (part(&bytes, 1, 1), part(&bytes, 1, 2));
        blobs.put(two, 1000, 0, &bytes[..10]).unwrap();
        blobs.put(one, 1000, 0, &bytes).unwrap();
        assert!(blobs.remove(one.blob).unwrap());
        assert!(!blobs.remove(one.blob).unwrap());
        assert_eq!((blobs.whole(one.blob).unwrap(), blobs.part(two, 1000).unwrap()), (None, 0));
        assert_eq!(blobs.list().unwrap(), []);
    });
}

#[test]
fn what_is_given_up_begins_anew_and_nothing_else_does() {
    on_each(|blobs| {
        let bytes = bytes_of(10, 1000);
        let (one, two) = (part(&bytes, 1, 1), part(&bytes, 1, 2));
        blobs.put(one, 1000, 0, &bytes[..10]).unwrap();
        blobs.put(two, 1000, 0, &bytes[..20]).unwrap();
        blobs.give_up(one).unwrap();
        blobs.give_up(one).unwrap();
        assert_eq!((blobs.part(one, 1000).unwrap(), blobs.part(two, 1000).unwrap()), (0, 20));
    });
}

#[test]
fn what_nobody_goes_on_sending_is_swept() {
    on_each(|blobs| {
        let bytes = bytes_of(8, 1000);
        let (one, two) = (part(&bytes, 1, 1), part(&bytes_of(9, 1000), 1, 1));
        blobs.put(one, 1000, 0, &bytes[..10]).unwrap();
        blobs.put(two, 1000, 0, &bytes_of(9, 1000)).unwrap();
        assert_eq!(blobs.sweep(Duration::from_secs(3600)).unwrap(), [(one, 10)]);
        assert_eq!(blobs.sweep(Duration::ZERO).unwrap(), []);
        assert_eq!(blobs.part(one, 1000).unwrap(), 0);
        assert_eq!(blobs.whole(two.blob).unwrap(), Some(1000), "what is whole stays");
    });
}
