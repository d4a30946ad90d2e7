//! Nobody passes for somebody else, and a version that is not spoken is said so.

use std::sync::Arc;

use super::super::message::{Hello, Message, Versions, Welcome};
use super::super::{
    CloseCode, CloseReason, DeviceInput, DeviceOutput, DeviceSession, EnrolInput, EnrolOutput, EnrolSession,
    EnrolSessionConfig, Enrolment, RelayInput, RelayOutput, RelaySession, RelaySessionConfig,
};
use super::world::{Phone, at, space};
use crate::id::{DeviceId, Incarnation, OrganisationId};
use crate::identity::Identity;

fn identity(number: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed([number; 32]))
}

fn relay(number: u8, nonce: u8) -> RelaySession {
    RelaySession::new(RelaySessionConfig { identity: identity(number), nonce: [nonce; 16] }, at(0))
}

/// The only frame that the device puts out, and why it closed.
fn device_frame(session: &mut DeviceSession) -> (Option<Vec<u8>>, Option<CloseReason>) {
    let (mut frame, mut closed) = (None, None);
    while let Some(output) = session.poll_output() {
        match output {
            DeviceOutput::Send(sent) => frame = Some(sent),
            DeviceOutput::Closed(reason) => closed = Some(reason),
            _ => {}
        }
    }
    (frame, closed)
}

#[derive(Debug, Default)]
struct FromRelay {
    frame: Option<Vec<u8>>,
    closed: Option<CloseReason>,
    opened: Option<DeviceId>,
    seen: bool,
    enrol: Option<([u8; 16], DeviceId, String)>,
}

fn relay_frame(session: &mut RelaySession) -> FromRelay {
    let mut from = FromRelay::default();
    while let Some(output) = session.poll_output() {
        match output {
            RelayOutput::Send(sent) => from.frame = Some(sent),
            RelayOutput::Closed(reason) => from.closed = Some(reason),
            RelayOutput::Open { device, .. } => from.opened = Some(device),
            RelayOutput::Seen { .. } => from.seen = true,
            RelayOutput::Enrol { token, device, label } => from.enrol = Some((token, device, label)),
            _ => {}
        }
    }
    from
}

fn ask_relay(session: &mut RelaySession, frame: Vec<u8>) -> FromRelay {
    session.handle(RelayInput::Frame(frame), at(1));
    relay_frame(session)
}

fn ask_device(session: &mut DeviceSession, frame: Vec<u8>) -> (Option<Vec<u8>>, Option<CloseReason>) {
    session.handle(DeviceInput::Frame(frame), at(1));
    device_frame(session)
}

fn close_code(frame: Option<Vec<u8>>) -> Option<CloseCode> {
    match Message::decode(&frame?) {
        Ok(Message::Close(code)) => Some(code),
        _ => None,
    }
}

/// The frames of one handshake between a phone and a relay: hello, welcome, proof.
fn handshake(phone: &Phone, relay_number: u8, nonces: (u8, u8)) -> [Vec<u8>; 3] {
    let mut device = phone.session(identity(relay_number).device(), nonces.0, at(0));
    let mut relay = relay(relay_number, nonces.1);
    let hello = device_frame(&mut device).0.unwrap();
    let welcome = ask_relay(&mut relay, hello.clone()).frame.unwrap();
    let proof = ask_device(&mut device, welcome.clone()).0.unwrap();
    assert_eq!(ask_relay(&mut relay, proof.clone()).opened, Some(phone.identity.device()));
    [hello, welcome, proof]
}

const IMPOSTOR: CloseReason = CloseReason::Here(CloseCode::Impersonation);

#[test]
fn a_relay_with_another_key_learns_nothing_but_the_devices_name() {
    let phone = Phone::new(1, &[space(1)]);
    let mut device = phone.session(identity(99).device(), 1, at(0));
    let hello = device_frame(&mut device).0.unwrap();
    let welcome = ask_relay(&mut relay(98, 2), hello).frame.unwrap();
    let (frame, closed) = ask_device(&mut device, welcome);
    assert_eq!((close_code(frame), closed), (Some(CloseCode::Impersonation), Some(IMPOSTOR)));
    assert!(!IMPOSTOR.is_worth_another_try());
}

#[test]
fn a_welcome_of_another_link_is_worth_nothing() {
    let phone = Phone::new(1, &[space(1)]);
    let [_, welcome, _] = handshake(&phone, 99, (1, 2));
    let others = [
        phone.session(identity(99).device(), 3, at(0)),
        Phone::new(2, &[space(1)]).session(identity(99).device(), 1, at(0)),
    ];
    for mut device in others {
        device_frame(&mut device);
        assert_eq!(ask_device(&mut device, welcome.clone()).1, Some(IMPOSTOR));
    }
}

#[test]
fn a_proof_of_another_link_of_another_relay_or_by_another_key_is_refused() {
    let phone = Phone::new(1, &[space(1)]);
    let [hello, _, proof] = handshake(&phone, 99, (1, 2));
    let elsewhere = handshake(&phone, 98, (1, 3))[2].clone();
    let thief = Phone::new(2, &[space(1)]);
    let by_thief = handshake(&thief, 99, (1, 3))[2].clone();
    for proof in [proof, elsewhere, by_thief] {
        // The relay has a nonce of its own for each link.
        let mut relay = relay(99, 3);
        assert!(ask_relay(&mut relay, hello.clone()).frame.is_some());
        let from = ask_relay(&mut relay, proof);
        assert_eq!((from.opened, from.closed), (None, Some(IMPOSTOR)));
        assert_eq!(close_code(from.frame), Some(CloseCode::Impersonation));
    }
}

#[test]
fn a_proof_with_any_byte_changed_opens_nothing() {
    let phone = Phone::new(1, &[space(1), space(2)]);
    let [hello, _, proof] = handshake(&phone, 99, (1, 2));
    for place in 0..proof.len() {
        let mut relay = relay(99, 2);
        ask_relay(&mut relay, hello.clone());
        let mut changed = proof.clone();
        changed[place] ^= 1;
        let from = ask_relay(&mut relay, changed);
        assert!(from.opened.is_none() && from.closed.is_some(), "byte {place}");
    }
}

#[test]
fn a_welcome_with_any_byte_changed_is_not_believed() {
    let phone = Phone::new(1, &[space(1)]);
    let [_, welcome, _] = handshake(&phone, 99, (1, 2));
    for place in 0..welcome.len() {
        let mut device = phone.session(identity(99).device(), 1, at(0));
        device_frame(&mut device);
        let mut changed = welcome.clone();
        changed[place] ^= 1;
        let (frame, closed) = ask_device(&mut device, changed);
        assert!(close_code(frame).is_some() && closed.is_some(), "byte {place}");
    }
}

#[test]
fn ends_without_a_common_version_part_with_that_reason() {
    let hello = Hello {
        versions: Versions { lowest: 200, highest: 201 },
        device: identity(1).device(),
        incarnation: Incarnation::from_bytes([1; 8]),
        nonce: [1; 16],
    };
    let from = ask_relay(&mut relay(99, 2), Message::Hello(hello).encode());
    assert_eq!(close_code(from.frame), Some(CloseCode::Version));
    assert_eq!(from.closed, Some(CloseReason::Here(CloseCode::Version)));
    // A relay that answers in a version that was not offered.
    let mut device = Phone::new(1, &[]).session(identity(99).device(), 1, at(0));
    device_frame(&mut device);
    let welcome = Welcome { version: 9, nonce: [2; 16], signature: [3; 64] };
    let (frame, closed) = ask_device(&mut device, Message::Welcome(welcome).encode());
    assert_eq!(close_code(frame), Some(CloseCode::Version));
    assert_eq!(closed, Some(CloseReason::Here(CloseCode::Version)));
    assert!(!CloseReason::There(CloseCode::Version).is_worth_another_try());
}

#[test]
fn versions_agree_on_the_newest_that_both_speak() {
    let versions = |lowest, highest| Versions { lowest, highest };
    for (ours, theirs, agreed) in [
        (versions(0, 0), versions(0, 0), Some(0)),
        (versions(0, 3), versions(2, 9), Some(3)),
        (versions(2, 9), versions(0, 3), Some(3)),
        (versions(0, 1), versions(2, 3), None),
    ] {
        assert_eq!(ours.agree(theirs), agreed);
    }
}

#[test]
fn a_device_that_is_not_let_in_is_nobody_that_was_seen() {
    let phone = Phone::new(1, &[space(1)]);
    let [hello, _, proof] = handshake(&phone, 9, (1, 2));
    let mut relay = relay(9, 2);
    ask_relay(&mut relay, hello);
    let asked = ask_relay(&mut relay, proof);
    assert!(asked.opened.is_some() && !asked.seen);
    relay.handle(RelayInput::Close(CloseCode::UnknownDevice), at(1));
    let answered = relay_frame(&mut relay);
    assert!(answered.closed.is_some() && !answered.seen);
}

#[test]
fn a_space_named_twice_is_refused() {
    let phone = Phone::new(1, &[space(1)]);
    let [hello, welcome, _] = handshake(&phone, 99, (1, 2));
    let Ok(Message::Hello(said)) = Message::decode(&hello) else { panic!("no hello") };
    let Ok(Message::Welcome(welcome)) = Message::decode(&welcome) else { panic!("no welcome") };
    let transcript = super::super::handshake::check_welcome(&said, identity(99).device(), &welcome).unwrap();
    let open = super::super::message::Open { space: space(1), cursor: None, own_digest: [0; 16] };
    let standing = super::super::message::Standing { unsent: 0, spaces: vec![open.clone(), open] };
    let proof = super::super::handshake::prove(&transcript, &phone.identity, standing);
    let mut relay = relay(99, 2);
    ask_relay(&mut relay, hello);
    let from = ask_relay(&mut relay, Message::Proof(proof).encode());
    assert_eq!(from.closed, Some(CloseReason::Here(CloseCode::Unexpected)));
}

fn enrol_session(relay_number: u8, nonce: u8) -> (EnrolSession, Vec<u8>) {
    let config = EnrolSessionConfig {
        identity: identity(1),
        relay: identity(relay_number).device(),
        token: [7; 16],
        label: "دورية غات ١".repeat(20),
        nonce: [nonce; 16],
    };
    let mut session = EnrolSession::new(config, at(0));
    let Some(EnrolOutput::Send(frame)) = session.poll_output() else { panic!("no request") };
    assert!(matches!(session.poll_output(), Some(EnrolOutput::WakeAt(_))));
    (session, frame)
}

fn enrolment() -> Enrolment {
    Enrolment {
        organisation: OrganisationId::from_bytes([4; 32]),
        name_ar: "حرس الحدود".into(),
        name_en: "Border guard".into(),
        spaces: vec![space(1), space(2)],
    }
}

fn tell_enrol(session: &mut EnrolSession, frame: Vec<u8>) -> (Option<Enrolment>, Option<CloseReason>) {
    session.handle(EnrolInput::Frame(frame), at(1));
    let (mut enrolled, mut closed) = (None, None);
    while let Some(output) = session.poll_output() {
        match output {
            EnrolOutput::Enrolled(membership) => enrolled = Some(membership),
            EnrolOutput::Closed(reason) => closed = Some(reason),
            EnrolOutput::Send(_) | EnrolOutput::WakeAt(_) => {}
        }
    }
    (enrolled, closed)
}

#[test]
fn a_device_with_a_token_is_enrolled_and_both_ends_are_done() {
    let (mut device, request) = enrol_session(99, 1);
    let mut relay = relay(99, 2);
    let (token, key, label) = ask_relay(&mut relay, request).enrol.unwrap();
    assert_eq!((token, key), ([7; 16], identity(1).device()));
    assert!(label.starts_with("دورية غات ١") && label.len() <= 128, "cut between characters");
    relay.handle(RelayInput::Enrolled(enrolment()), at(1));
    let from = relay_frame(&mut relay);
    assert_eq!(from.closed, Some(CloseReason::Here(CloseCode::Done)));
    let (enrolled, closed) = tell_enrol(&mut device, from.frame.unwrap());
    assert!(enrolled == Some(enrolment()));
    assert_eq!(closed, Some(CloseReason::Here(CloseCode::Done)));
}

#[test]
fn a_refused_enrolment_says_why_and_is_not_tried_again_by_itself() {
    for code in
        [CloseCode::TokenUnknown, CloseCode::TokenExpired, CloseCode::TokenUsed, CloseCode::EnrolmentRefused]
    {
        let (mut device, request) = enrol_session(99, 1);
        let mut relay = relay(99, 2);
        ask_relay(&mut relay, request);
        relay.handle(RelayInput::Close(code), at(1));
        let (enrolled, closed) = tell_enrol(&mut device, relay_frame(&mut relay).frame.unwrap());
        assert!(enrolled.is_none());
        assert_eq!(closed, Some(CloseReason::There(code)));
        assert!(!CloseReason::There(code).is_worth_another_try());
    }
}

#[test]
fn a_request_that_was_made_for_another_relay_or_changed_enrols_nobody() {
    let (_, request) = enrol_session(98, 1);
    let from = ask_relay(&mut relay(99, 2), request);
    assert!(from.enrol.is_none());
    assert_eq!(from.closed, Some(IMPOSTOR));
    let (_, request) = enrol_session(99, 1);
    for place in 0..request.len() {
        let mut changed = request.clone();
        changed[place] ^= 1;
        let from = ask_relay(&mut relay(99, 2), changed);
        assert!(from.enrol.is_none() && from.closed.is_some(), "byte {place}");
    }
}

#[test]
fn an_enrolment_by_another_relay_for_another_request_or_changed_is_not_believed() {
    let answer = |relay_number: u8, nonce: u8| {
        let (_, request) = enrol_session(relay_number, nonce);
        let mut relay = relay(relay_number, 2);
        ask_relay(&mut relay, request);
        relay.handle(RelayInput::Enrolled(enrolment()), at(1));
        relay_frame(&mut relay).frame.unwrap()
    };
    for wrong in [answer(98, 1), answer(99, 2)] {
        let (mut device, _) = enrol_session(99, 1);
        let (enrolled, closed) = tell_enrol(&mut device, wrong);
        assert!(enrolled.is_none());
        assert_eq!(closed, Some(IMPOSTOR));
    }
    let right = answer(99, 1);
    for place in 0..right.len() {
        let (mut device, _) = enrol_session(99, 1);
        let mut changed = right.clone();
        changed[place] ^= 1;
        let (enrolled, closed) = tell_enrol(&mut device, changed);
        assert!(enrolled.is_none() && closed.is_some(), "byte {place}");
    }
}

#[test]
fn an_enrolment_without_an_answer_ends_by_the_clock() {
    let (mut device, _) = enrol_session(99, 1);
    device.handle(EnrolInput::Tick, at(14_000));
    assert!(matches!(device.poll_output(), Some(EnrolOutput::WakeAt(time)) if time == at(15_000)));
    device.handle(EnrolInput::Tick, at(15_000));
    let closed = std::iter::from_fn(|| device.poll_output())
        .any(|output| matches!(output, EnrolOutput::Closed(CloseReason::Here(CloseCode::HandshakeTimeout))));
    assert!(closed);
}
