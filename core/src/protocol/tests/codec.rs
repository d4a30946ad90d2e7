//! Every message has exactly one frame, and every frame at most one message.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::message::{
    CursorClaim, DecodeError, Enrol, Enrolled, Enrolment, Hello, Message, Open, Proof, SpaceState, Standing,
    Versions, Welcome,
};
use super::super::{AttachmentRefusal, CloseCode};
use crate::batch::Lane;
use crate::control::{QuarantineReason, RefuseReason, RetryReason, Verdict};
use crate::id::{AttachmentHash, BatchId, DeviceId, Incarnation, LogDigest, LogId, OrganisationId, SpaceId};
use crate::limits::{ATTACHMENT_PIECE_LEN_MAX, FRAME_LEN_MAX, LINK_CHAINS_MAX, LINK_SPACES_MAX};
use crate::position::{OwnChain, QuarantineDigest};

fn bytes64() -> impl Strategy<Value = [u8; 64]> {
    (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(first, second)| {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&first);
        bytes[32..].copy_from_slice(&second);
        bytes
    })
}

fn batch() -> impl Strategy<Value = BatchId> {
    any::<[u8; 32]>().prop_map(BatchId::from_bytes)
}

fn space() -> impl Strategy<Value = SpaceId> {
    any::<[u8; 32]>().prop_map(SpaceId::from_bytes)
}

fn digest() -> impl Strategy<Value = LogDigest> {
    any::<[u8; 16]>().prop_map(LogDigest::from_bytes)
}

fn versions() -> impl Strategy<Value = Versions> {
    (1..=u8::MAX).prop_map(|highest| Versions { lowest: 1, highest })
}

prop_compose! {
    fn open()(
        space in space(),
        cursor in proptest::option::of((any::<[u8; 16]>(), any::<u64>(), any::<[u8; 16]>())),
        own_digest in any::<[u8; 16]>(),
    ) -> Open {
        let cursor = cursor.map(|(log, offset, digest)| CursorClaim {
            log: LogId::from_bytes(log),
            offset,
            digest: LogDigest::from_bytes(digest),
        });
        Open { space, cursor, own_digest }
    }
}

prop_compose! {
    fn own_chain()(incarnation in any::<[u8; 8]>(), lane in 0u8..3, seq in any::<u64>(), batch in batch()) -> OwnChain {
        OwnChain {
            incarnation: Incarnation::from_bytes(incarnation),
            lane: Lane::from_u8(lane).unwrap(),
            seq,
            batch,
        }
    }
}

fn space_state() -> impl Strategy<Value = SpaceState> {
    let open = (
        proptest::option::of(any::<[u8; 16]>().prop_map(LogId::from_bytes)),
        any::<u64>(),
        any::<u64>(),
        (any::<u64>(), any::<bool>(), any::<[u8; 16]>().prop_map(QuarantineDigest::from_bytes)),
        proptest::option::of(vec(own_chain(), 0..4)),
    );
    prop_oneof![
        Just(SpaceState::NotMember),
        open.prop_map(|(log, head, len_after_cursor, (watermark, is_revoked, quarantined), own)| {
            SpaceState::Open { log, head, len_after_cursor, watermark, is_revoked, quarantined, own }
        }),
    ]
}

fn enrolment() -> impl Strategy<Value = Enrolment> {
    (any::<[u8; 32]>(), "\\PC{0,40}", "\\PC{0,40}", vec(space(), 0..4)).prop_map(
        |(organisation, name_ar, name_en, spaces)| Enrolment {
            organisation: OrganisationId::from_bytes(organisation),
            name_ar,
            name_en,
            spaces,
        },
    )
}

fn first_messages() -> impl Strategy<Value = Message> {
    let device = || any::<[u8; 32]>().prop_map(DeviceId::from_bytes);
    let nonce = any::<[u8; 16]>;
    prop_oneof![
        (versions(), device(), any::<[u8; 8]>(), nonce()).prop_map(
            |(versions, device, incarnation, nonce)| {
                let incarnation = Incarnation::from_bytes(incarnation);
                Message::Hello(Hello { versions, device, incarnation, nonce })
            }
        ),
        (any::<u8>(), nonce(), bytes64()).prop_map(|(version, nonce, signature)| Message::Welcome(Welcome {
            version,
            nonce,
            signature
        })),
        (bytes64(), any::<u64>(), vec(open(), 0..5)).prop_map(|(signature, unsent, spaces)| {
            Message::Proof(Proof { signature, standing: Standing { unsent, spaces } })
        }),
        vec(space_state(), 0..5).prop_map(Message::State),
        (versions(), nonce(), device(), nonce(), bytes64(), "\\PC{0,40}").prop_map(
            |(versions, token, device, nonce, signature, label)| {
                Message::Enrol(Enrol { versions, token, device, nonce, signature, label })
            }
        ),
        (any::<u8>(), bytes64(), enrolment()).prop_map(|(version, signature, membership)| {
            Message::Enrolled(Enrolled { version, signature, membership })
        }),
    ]
}

fn later_messages() -> impl Strategy<Value = Message> {
    let sealed = || vec(any::<u8>(), 0..64);
    let verdict = prop_oneof![
        Just(Verdict::Accepted),
        prop::sample::select(RetryReason::ALL).prop_map(Verdict::RetryLater),
        prop::sample::select(RefuseReason::ALL).prop_map(Verdict::Refused),
        prop::sample::select(QuarantineReason::ALL).prop_map(Verdict::Quarantined),
    ];
    prop_oneof![
        (any::<u8>(), sealed()).prop_map(|(space, batch)| Message::Push { space, batch }),
        (batch(), verdict).prop_map(|(batch, verdict)| Message::Answer { batch, verdict }),
        (any::<u8>(), any::<u64>(), digest(), sealed())
            .prop_map(|(space, offset, digest, batch)| { Message::Batch { space, offset, digest, batch } }),
        (any::<u8>(), any::<u64>(), digest()).prop_map(|(space, offset, digest)| Message::Reached {
            space,
            offset,
            digest
        }),
        (any::<u8>(), sealed()).prop_map(|(space, batch)| Message::Control { space, batch }),
        any::<u64>().prop_map(|number| Message::Ping { number }),
        any::<u64>().prop_map(|number| Message::Pong { number }),
        any::<u64>().prop_map(|unsent| Message::Report { unsent }),
        any::<u8>().prop_map(|code| Message::Close(CloseCode::from_u8(code))),
    ]
}

fn attachment_messages() -> impl Strategy<Value = Message> {
    let hash = || any::<[u8; 32]>().prop_map(AttachmentHash::from_bytes);
    let (number, part) = (any::<u64>, || vec(any::<u8>(), 1..64));
    let name = || (0..3u8, hash());
    prop_oneof![
        (name(), number()).prop_map(|((space, hash), len)| Message::Offer { space, hash, len }),
        (name(), number(), proptest::option::of(0..u64::MAX))
            .prop_map(|((space, hash), held, head)| Message::Holds { space, hash, held, head }),
        (name(), number(), part()).prop_map(|((space, hash), offset, bytes)| Message::Piece {
            space,
            hash,
            offset,
            bytes
        }),
        (name(), prop::sample::select(AttachmentRefusal::ALL))
            .prop_map(|((space, hash), refusal)| Message::NotWanted { space, hash, refusal }),
        (name(), number()).prop_map(|((space, hash), offset)| Message::Fetch { space, hash, offset }),
        (name(), number(), number(), part()).prop_map(|((space, hash), len, offset, bytes)| {
            Message::Bytes { space, hash, len, offset, bytes }
        }),
        (name(), number()).prop_map(|((space, hash), held)| Message::Got { space, hash, held }),
        name().prop_map(|(space, hash)| Message::Lacks { space, hash }),
        (0..3u8, vec(hash(), 0..5)).prop_map(|(space, hashes)| Message::Sought { space, hashes }),
    ]
}

/// Any message.
pub(super) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![first_messages(), later_messages(), attachment_messages()]
}

proptest! {
    #[test]
    fn a_message_reads_back_from_its_frame_and_from_no_part_of_it(message in message(), cut in any::<prop::sample::Index>()) {
        let frame = message.encode();
        prop_assert_eq!(Message::decode(&frame), Ok(message.clone()));
        let cut = cut.index(frame.len());
        // Only a frame that ends in a sealed batch or a part can be shorter and still be a frame.
        match Message::decode(&frame[..cut]) {
            Ok(Message::Push { .. } | Message::Batch { .. } | Message::Control { .. }) => {}
            Ok(Message::Piece { .. } | Message::Bytes { .. }) => {}
            Ok(other) => prop_assert!(false, "{other:?} was read from a part"),
            Err(_) => {}
        }
        let longer = [&frame[..], &[0]].concat();
        prop_assert_ne!(Message::decode(&longer), Ok(message));
    }

    #[test]
    fn what_is_read_from_any_bytes_is_written_as_the_same_bytes(
        kind in prop::sample::select(vec![1u8, 2, 3, 4, 0x10, 0x11, 0x12, 0x18, 0x19, 0x20, 0x21, 0x22, 0x30, 0x31, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x7f, 0x55]),
        payload in vec(prop_oneof![Just(0u8), Just(1), any::<u8>()], 0..200),
    ) {
        let frame = [&[kind][..], &payload].concat();
        if let Ok(message) = Message::decode(&frame) {
            prop_assert_eq!(message.encode(), frame);
        }
    }

    #[test]
    fn a_frame_with_one_byte_changed_reads_as_what_it_says_or_not_at_all(
        message in message(), place in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut frame = message.encode();
        let place = place.index(frame.len());
        frame[place] = byte;
        if let Ok(message) = Message::decode(&frame) {
            prop_assert_eq!(message.encode(), frame);
        }
    }
}

#[test]
fn a_frame_that_is_no_message_says_why() {
    let hello = [&[0x01, 1, 1][..], &[7; 56]].concat();
    assert!(matches!(Message::decode(&hello), Ok(Message::Hello(_))));
    for (frame, error) in [
        (vec![], DecodeError::Empty),
        (vec![0x00], DecodeError::UnknownType(0x00)),
        (vec![0x80, 1], DecodeError::UnknownType(0x80)),
        (hello[..58].to_vec(), DecodeError::Field),
        ([&hello[..], &[0]].concat(), DecodeError::Trailing),
        ([&[0x01, 2, 1][..], &[7; 56]].concat(), DecodeError::Value),
        // From a version that is not known here, in a form that is not known here.
        (vec![0x01, 200, 201, 1, 2, 3], DecodeError::Version),
        (vec![0x30, 200, 201], DecodeError::Version),
        (vec![0x20, 0x80, 0x00], DecodeError::Field),
        (vec![0x04, 65], DecodeError::TooMany),
        (vec![0x04, 1, 2], DecodeError::Value),
        (vec![0x04, 1, 33], DecodeError::Value),
        // Says that some are in quarantine, and then none.
        ([&[0x04, 1, 17, 0, 0, 0][..], &[0; 16]].concat(), DecodeError::Value),
        ([&[0x12][..], &[0; 32], &[4, 1]].concat(), DecodeError::Value),
        ([&[0x12][..], &[0; 32], &[3, 3]].concat(), DecodeError::Value),
        ([&[0x12][..], &[0; 32], &[1, 0]].concat(), DecodeError::Value),
        ([&[0x31, 0][..], &[0; 96], &[2, 0xff, 0xfe]].concat(), DecodeError::Text),
        ([&[0x31, 0][..], &[0; 96], &[0x81, 0x02]].concat(), DecodeError::TooMany),
        ([&[0x42, 0][..], &[0; 32], &[5]].concat(), DecodeError::Field),
        ([&[0x42, 0][..], &[0; 32], &[5], &[1; ATTACHMENT_PIECE_LEN_MAX + 1]].concat(), DecodeError::TooMany),
        ([&[0x43, 0][..], &[0; 32], &[6]].concat(), DecodeError::Value),
        (vec![0x48, 0, 65], DecodeError::TooMany),
        (vec![0x10; FRAME_LEN_MAX + 1], DecodeError::TooLarge(FRAME_LEN_MAX + 1)),
    ] {
        assert_eq!(Message::decode(&frame), Err(error), "{:02x?}", &frame[..frame.len().min(8)]);
    }
    // A state that promises a billion chains is refused before any is read.
    let greedy = [&[0x04, 1, 5, 0, 0, 0][..], &[0x80, 0x94, 0xeb, 0xdc, 0x03]].concat();
    assert_eq!(Message::decode(&greedy), Err(DecodeError::TooMany));
}

#[test]
fn the_largest_state_fits_one_frame() {
    let chain = OwnChain {
        incarnation: Incarnation::from_bytes([1; 8]),
        lane: Lane::Bulk,
        seq: u64::MAX,
        batch: BatchId::from_bytes([2; 32]),
    };
    let open = |chains| SpaceState::Open {
        log: Some(LogId::from_bytes([3; 16])),
        head: u64::MAX,
        len_after_cursor: u64::MAX,
        watermark: u64::MAX,
        is_revoked: true,
        quarantined: QuarantineDigest::from_bytes([9; 16]),
        own: Some(vec![chain; chains]),
    };
    let mut states = vec![open(0); LINK_SPACES_MAX - 1];
    states.push(open(LINK_CHAINS_MAX));
    let frame = Message::State(states.clone()).encode();
    assert!(frame.len() <= FRAME_LEN_MAX, "{}", frame.len());
    assert_eq!(Message::decode(&frame), Ok(Message::State(states.clone())));
    states[0] = open(1);
    assert_eq!(Message::decode(&Message::State(states).encode()), Err(DecodeError::TooMany));
}

#[test]
fn the_debug_text_of_a_message_shows_neither_token_nor_name() {
    let enrol = Message::Enrol(Enrol {
        versions: Versions::SPOKEN,
        token: *b"secret-token-16b",
        device: DeviceId::from_bytes([1; 32]),
        nonce: [2; 16],
        signature: [3; 64],
        label: "Ghat 1".into(),
    });
    let text = format!("{enrol:?}");
    assert!(!text.contains("Ghat") && !text.contains("115") && !text.contains("secret"), "{text}");
}
