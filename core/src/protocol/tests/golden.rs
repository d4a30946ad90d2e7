//! The frames of PROTOCOL.md: they are what the sessions put out, and what they take in.

use std::sync::Arc;

use super::super::message::{Message, Versions};
use super::super::{
    AttachmentRefusal, CloseCode, DeviceInput, DeviceOutput, DeviceSession, DeviceSessionConfig, EnrolInput,
    EnrolOutput, EnrolSession, EnrolSessionConfig, Enrolment, OpenedSpace, RelayInput, RelayOutput,
    RelaySession, RelaySessionConfig,
};
use super::world::at;
use crate::batch::Lane;
use crate::control::{QuarantineReason, RefuseReason, RetryReason, Verdict};
use crate::examples::check_hex;
use crate::id::{AttachmentHash, BatchId, Incarnation, LogDigest, LogId, OrganisationId, SpaceId};
use crate::identity::Identity;
use crate::position::{Cursor, OwnChain, QuarantineDigest, SpacePosition};

/// The examples of the first version stay as they are.
const FIRST: Versions = Versions { lowest: 1, highest: 1 };

const SPACE: SpaceId = SpaceId::from_bytes([3; 32]);

fn chain(seq: u64, batch: u8) -> OwnChain {
    OwnChain {
        incarnation: Incarnation::from_bytes([2; 8]),
        lane: Lane::Normal,
        seq,
        batch: BatchId::from_bytes([batch; 32]),
    }
}

fn device() -> DeviceSession {
    DeviceSession::speaking(FIRST, config(), at(0))
}

fn config() -> DeviceSessionConfig {
    let position = SpacePosition {
        space: SPACE,
        cursor: Some(Cursor {
            log: LogId::from_bytes([6; 16]),
            offset: 300,
            digest: LogDigest::from_bytes([9; 16]),
        }),
        own: vec![chain(12, 10)],
        quarantined: QuarantineDigest::default(),
    };
    DeviceSessionConfig {
        identity: Arc::new(Identity::from_seed([1; 32])),
        relay: Identity::from_seed([5; 32]).device(),
        nonce: [7; 16],
        incarnation: Incarnation::from_bytes([2; 8]),
        spaces: vec![position],
        unsent: 7,
    }
}

fn relay() -> RelaySession {
    RelaySession::speaking(FIRST, relay_config(), at(0))
}

fn relay_config() -> RelaySessionConfig {
    RelaySessionConfig { identity: Arc::new(Identity::from_seed([5; 32])), nonce: [8; 16] }
}

fn sent_by_device(session: &mut DeviceSession, input: Option<DeviceInput>) -> Vec<u8> {
    if let Some(input) = input {
        session.handle(input, at(0));
    }
    let sent = std::iter::from_fn(|| session.poll_output()).find_map(|output| match output {
        DeviceOutput::Send(frame) => Some(frame),
        _ => None,
    });
    sent.expect("the device sends a frame")
}

fn sent_by_relay(session: &mut RelaySession, input: RelayInput) -> Option<Vec<u8>> {
    session.handle(input, at(0));
    std::iter::from_fn(|| session.poll_output()).find_map(|output| match output {
        RelayOutput::Send(frame) => Some(frame),
        _ => None,
    })
}

/// The state that a relay answers with when the room knows this, and that the device accepts.
fn state(opened: OpenedSpace) -> Vec<u8> {
    let (mut device, mut relay) = (device(), relay());
    let hello = sent_by_device(&mut device, None);
    let welcome = sent_by_relay(&mut relay, RelayInput::Frame(hello)).unwrap();
    let proof = sent_by_device(&mut device, Some(DeviceInput::Frame(welcome)));
    assert_eq!(sent_by_relay(&mut relay, RelayInput::Frame(proof)), None);
    let state = sent_by_relay(&mut relay, RelayInput::Opened(vec![opened])).unwrap();
    device.handle(DeviceInput::Frame(state.clone()), at(0));
    assert!(std::iter::from_fn(|| device.poll_output()).all(|o| !matches!(o, DeviceOutput::Closed(_))));
    state
}

#[test]
fn the_handshake_is_as_the_page_says() {
    let (mut device, mut relay) = (device(), relay());
    let hello = sent_by_device(&mut device, None);
    check_hex("frame-hello", &hello);
    let welcome = sent_by_relay(&mut relay, RelayInput::Frame(hello)).unwrap();
    check_hex("frame-welcome", &welcome);
    let proof = sent_by_device(&mut device, Some(DeviceInput::Frame(welcome)));
    check_hex("frame-proof", &proof);
    check_hex(
        "frame-state",
        &state(OpenedSpace::Member {
            log: LogId::from_bytes([6; 16]),
            head: 321,
            at_cursor: Some(LogDigest::from_bytes([9; 16])),
            len_after_cursor: 70_000,
            len_total: 900_000,
            watermark: 310,
            is_revoked: false,
            quarantined: QuarantineDigest::default(),
            own: vec![chain(12, 10)],
        }),
    );
    check_hex(
        "frame-state-lost",
        &state(OpenedSpace::Member {
            log: LogId::from_bytes([11; 16]),
            head: 5,
            at_cursor: None,
            len_after_cursor: 0,
            len_total: 9_000,
            watermark: 0,
            is_revoked: true,
            quarantined: QuarantineDigest::of([BatchId::from_bytes([13; 32])]),
            own: vec![chain(11, 12)],
        }),
    );
    check_hex("frame-state-closed", &state(OpenedSpace::NotMember));
}

#[test]
fn the_enrolment_is_as_the_page_says() {
    let config = EnrolSessionConfig {
        identity: Arc::new(Identity::from_seed([1; 32])),
        relay: Identity::from_seed([5; 32]).device(),
        token: [13; 16],
        label: "Ghat 1".into(),
        nonce: [7; 16],
    };
    let mut device = EnrolSession::speaking(FIRST, config, at(0));
    let Some(EnrolOutput::Send(enrol)) = device.poll_output() else { panic!("no request") };
    check_hex("frame-enrol", &enrol);
    let mut relay = relay();
    assert_eq!(sent_by_relay(&mut relay, RelayInput::Frame(enrol)), None);
    let membership = Enrolment {
        organisation: OrganisationId::from_bytes([14; 32]),
        name_ar: "حرس".into(),
        name_en: "Guard".into(),
        spaces: vec![SPACE],
    };
    let enrolled = sent_by_relay(&mut relay, RelayInput::Enrolled(membership)).unwrap();
    check_hex("frame-enrolled", &enrolled);
    device.handle(EnrolInput::Frame(enrolled), at(0));
    assert!(std::iter::from_fn(|| device.poll_output()).any(|o| matches!(o, EnrolOutput::Enrolled(_))));
}

#[test]
fn the_small_frames_are_as_the_page_says() {
    let batch = BatchId::from_bytes([9; 32]);
    let answer = |verdict| Message::Answer { batch, verdict };
    for (name, message) in [
        ("frame-control", Message::Control { space: 0, batch: vec![0xaa, 0xbb] }),
        ("frame-reached", Message::Reached { space: 0, offset: 300, digest: LogDigest::from_bytes([9; 16]) }),
        ("frame-accepted", answer(Verdict::Accepted)),
        ("frame-retry-later", answer(Verdict::RetryLater(RetryReason::MissingPredecessor))),
        ("frame-refused", answer(Verdict::Refused(RefuseReason::Fork))),
        ("frame-quarantined", answer(Verdict::Quarantined(QuarantineReason::Revoked))),
        ("frame-report", Message::Report { unsent: 2_000 }),
        ("frame-ping", Message::Ping { number: 1 }),
        ("frame-close", Message::Close(CloseCode::UnknownDevice)),
    ] {
        check_hex(name, &message.encode());
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

#[test]
fn the_frames_of_attachments_are_as_the_page_says() {
    let (space, hash) = (0, AttachmentHash::from_bytes([15; 32]));
    for (name, message) in [
        ("frame-offer", Message::Offer { space, hash, len: 300_000 }),
        ("frame-holds", Message::Holds { space, hash, held: 1_000, head: None }),
        ("frame-holds-whole", Message::Holds { space, hash, held: 300_000, head: Some(321) }),
        ("frame-piece", Message::Piece { space, hash, offset: 1_000, bytes: vec![0xaa, 0xbb] }),
        ("frame-not-wanted", Message::NotWanted { space, hash, refusal: AttachmentRefusal::Full }),
        ("frame-fetch", Message::Fetch { space, hash, offset: 1_000 }),
        ("frame-bytes", Message::Bytes { space, hash, len: 300_000, offset: 1_000, bytes: vec![0xaa, 0xbb] }),
        ("frame-got", Message::Got { space, hash, held: 1_002 }),
        ("frame-lacks", Message::Lacks { space, hash }),
        ("frame-sought", Message::Sought { space, hashes: vec![hash] }),
    ] {
        check_hex(name, &message.encode());
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
    let mut device = DeviceSession::new(config(), at(0));
    check_hex("frame-hello-2", &sent_by_device(&mut device, None));
}

#[test]
fn a_link_of_the_first_version_is_agreed_on_by_a_newer_end_of_either_side() {
    for (mut device, mut relay) in
        [(device(), RelaySession::new(relay_config(), at(0))), (DeviceSession::new(config(), at(0)), relay())]
    {
        let hello = sent_by_device(&mut device, None);
        let welcome = sent_by_relay(&mut relay, RelayInput::Frame(hello)).unwrap();
        assert!(matches!(Message::decode(&welcome), Ok(Message::Welcome(welcome)) if welcome.version == 1));
        let proof = sent_by_device(&mut device, Some(DeviceInput::Frame(welcome)));
        assert!(matches!(Message::decode(&proof), Ok(Message::Proof(_))));
    }
}

#[test]
fn the_page_names_every_code_and_reason() {
    let page = include_str!("../../../PROTOCOL.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
    for code in CloseCode::ALL {
        let row = format!("| {} | {code:?} |", code.to_u8());
        assert!(rows.iter().any(|line| line.starts_with(&row)), "{row}");
    }
    let is_row = |code: u8| rows.iter().any(|line| line.starts_with(&format!("| {code} | ")));
    let codes = RetryReason::ALL.iter().map(|reason| reason.code());
    let codes = codes.chain(AttachmentRefusal::ALL.iter().map(|reason| reason.code()));
    let codes = codes.chain(QuarantineReason::ALL.iter().map(|reason| reason.code()));
    assert!(codes.chain(RefuseReason::ALL.iter().map(|reason| reason.code())).all(is_row));
}
