//! Whatever comes down the wire, a session ends with a reason or goes on, and never panics.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::message::Message;
use super::super::{
    CloseCode, CloseReason, DeviceInput, DeviceOutput, EnrolInput, EnrolOutput, EnrolSession,
    EnrolSessionConfig, RelayInput, RelayOutput,
};
use super::codec::message;
use super::world::{World, at, space};
use crate::batch::Lane;
use crate::id::LogDigest;
use crate::limits::FRAME_LEN_MAX;

/// A link of a phone with things to send and to fetch, after some frames.
fn link_after(frames: usize) -> World {
    let mut world = World::new(2, &[space(1), space(2)]);
    for phone in &mut world.phones {
        for lane in Lane::ALL {
            phone.record(space(1), lane, 700);
            phone.record(space(2), lane, 3_000);
        }
    }
    let link = world.connect(1);
    world.run_until_quiet();
    world.cut(link);
    world.log.verifies = true;
    world.connect(0);
    for _ in 0..frames {
        world.deliver_one();
    }
    world
}

/// What a hostile end puts on the wire in place of the next frame.
#[derive(Debug, Clone)]
enum Attack {
    Bytes(Vec<u8>),
    /// Any well-formed message.
    Message(Message),
    /// A frame of this very link, whole, from any moment.
    Replay(Index),
    /// Such a frame with some bytes changed, and cut or made longer.
    Mutated {
        frame: Index,
        changes: Vec<(Index, u8)>,
        len: Index,
    },
}

fn attack() -> impl Strategy<Value = Attack> {
    prop_oneof![
        vec(any::<u8>(), 0..200).prop_map(Attack::Bytes),
        message().prop_map(Attack::Message),
        any::<Index>().prop_map(Attack::Replay),
        (any::<Index>(), vec((any::<Index>(), any::<u8>()), 1..4), any::<Index>())
            .prop_map(|(frame, changes, len)| Attack::Mutated { frame, changes, len }),
    ]
}

impl Attack {
    fn frame(&self, of_this_link: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Message(message) => message.encode(),
            Self::Replay(_) | Self::Mutated { .. } if of_this_link.is_empty() => Vec::new(),
            Self::Replay(index) => index.get(of_this_link).clone(),
            Self::Mutated { frame, changes, len } => {
                let mut bytes = frame.get(of_this_link).clone();
                for (place, byte) in changes {
                    let place = place.index(bytes.len());
                    bytes[place] = *byte;
                }
                let new_len = len.index(bytes.len() + 8);
                if new_len % 3 == 0 {
                    bytes.resize(new_len, 0);
                }
                bytes
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_relay_survives_any_frames(moment in 0..40usize, attacks in vec(attack(), 1..8)) {
        let mut world = link_after(moment);
        let frames: Vec<_> = world.links[0].up.sent.iter().chain(&world.links[0].down.sent).cloned().collect();
        let before = world.log.batches(space(1)).len();
        for attack in &attacks {
            world.tell_relay(0, RelayInput::Frame(attack.frame(&frames)));
        }
        let closed = world.links[0].relay_closed;
        // After the end nothing is taken any more.
        world.tell_relay(0, RelayInput::Tick);
        prop_assert_eq!(world.links[0].relay_closed, closed);
        if closed.is_some_and(|reason| matches!(reason, CloseReason::Here(_))) {
            let last = world.links[0].down.sent.last().unwrap();
            let code = closed.and_then(CloseReason::code).unwrap();
            prop_assert_eq!(Message::decode(last), Ok(Message::Close(code)));
        }
        prop_assert!(world.log.batches(space(1)).len() >= before);
    }

    #[test]
    fn a_device_survives_any_frames(moment in 0..40usize, attacks in vec(attack(), 1..8)) {
        let mut world = link_after(moment);
        let frames: Vec<_> = world.links[0].down.sent.iter().chain(&world.links[0].up.sent).cloned().collect();
        let own = world.phones[0].spaces[&space(1)].own.clone();
        for attack in &attacks {
            world.tell_device(0, DeviceInput::Frame(attack.frame(&frames)));
        }
        let closed = world.links[0].device_closed;
        world.tell_device(0, DeviceInput::Tick);
        prop_assert_eq!(world.links[0].device_closed, closed);
        if let Some(CloseReason::Here(code)) = closed {
            let last = world.links[0].up.sent.last().unwrap();
            prop_assert_eq!(Message::decode(last), Ok(Message::Close(code)));
        }
        prop_assert_eq!(&world.phones[0].spaces[&space(1)].own, &own);
    }

    #[test]
    fn an_enrolling_device_survives_any_frame(attack in attack()) {
        let world = link_after(30);
        let frames: Vec<_> = world.links[0].down.sent.clone();
        let config = EnrolSessionConfig {
            identity: world.phones[0].identity.clone(),
            relay: world.relay.device(),
            token: [1; 16],
            label: "Kufra 2".into(),
            nonce: [2; 16],
        };
        let mut session = EnrolSession::new(config, at(0));
        session.handle(EnrolInput::Frame(attack.frame(&frames)), at(0));
        let outputs: Vec<_> = std::iter::from_fn(|| session.poll_output()).collect();
        prop_assert!(matches!(outputs.last(), Some(EnrolOutput::Closed(_))), "nothing here can be believed");
    }

    /// Attacks from outside, then the same phone over a link that works: nothing has been lost.
    #[test]
    fn after_any_attack_a_new_link_brings_everything(moment in 0..40usize, attacks in vec(attack(), 1..4), on_relay in any::<bool>()) {
        let mut world = link_after(moment);
        let frames: Vec<_> = world.links[0].up.sent.iter().chain(&world.links[0].down.sent).cloned().collect();
        // What a pinned and proved relay says is believed; an attacker has to be outside.
        let outside = |frame: &[u8]| !matches!(Message::decode(frame), Ok(Message::Answer { .. } | Message::Batch { .. } | Message::Reached { .. } | Message::State(_)));
        for frame in attacks.iter().map(|attack| attack.frame(&frames)).filter(|frame| outside(frame)) {
            if on_relay {
                world.tell_relay(0, RelayInput::Frame(frame));
            } else {
                world.tell_device(0, DeviceInput::Frame(frame));
            }
        }
        world.cut(0);
        for phone in [0, 1, 0] {
            let link = world.connect(phone);
            world.run_until_quiet();
            prop_assert_eq!(world.links[link].device_closed, None);
            world.cut(link);
        }
        world.assert_equal(&[space(1), space(2)]);
    }
}

fn device_reason(world: &mut World, frame: Vec<u8>) -> Option<CloseReason> {
    world.tell_device(0, DeviceInput::Frame(frame));
    world.links[0].device_closed
}

fn relay_reason(world: &mut World, frame: Vec<u8>) -> Option<CloseReason> {
    world.tell_relay(0, RelayInput::Frame(frame));
    world.links[0].relay_closed
}

#[test]
fn every_kind_of_bad_frame_has_its_own_reason_on_both_ends() {
    let open = || link_after(1_000);
    let batch = open().log.spaces[&space(1)][0].1.clone();
    let bytes = batch.as_bytes().to_vec();
    for end in [device_reason, relay_reason] {
        for (frame, code) in [
            (vec![], CloseCode::Malformed),
            (vec![0x6f], CloseCode::Malformed),
            (vec![0x21; FRAME_LEN_MAX + 1], CloseCode::TooLarge),
            (Message::Pong { number: 77 }.encode(), CloseCode::Unexpected),
            (vec![0x04, 0], CloseCode::Unexpected),
        ] {
            assert_eq!(end(&mut open(), frame), Some(CloseReason::Here(code)));
        }
    }
    let from_relay = |message: Message, code| {
        assert_eq!(device_reason(&mut open(), message.encode()), Some(CloseReason::Here(code)));
    };
    let answer = Message::Answer { batch: batch.id(), verdict: crate::control::Verdict::Accepted };
    let digest = LogDigest::EMPTY;
    from_relay(answer, CloseCode::Unexpected);
    from_relay(Message::Batch { space: 9, offset: 99, digest, batch: bytes.clone() }, CloseCode::Unexpected);
    from_relay(Message::Batch { space: 1, offset: 99, digest, batch: bytes.clone() }, CloseCode::Unexpected);
    from_relay(Message::Batch { space: 0, offset: 1, digest, batch: bytes.clone() }, CloseCode::Unexpected);
    from_relay(
        Message::Batch { space: 0, offset: 99, digest, batch: vec![1, 2, 3] },
        CloseCode::BatchMalformed,
    );
    from_relay(Message::Reached { space: 0, offset: 0, digest }, CloseCode::Unexpected);
    from_relay(Message::Push { space: 0, batch: bytes.clone() }, CloseCode::Unexpected);
    let from_device = |message: Message, code| {
        assert_eq!(relay_reason(&mut open(), message.encode()), Some(CloseReason::Here(code)));
    };
    from_device(Message::Push { space: 9, batch: bytes.clone() }, CloseCode::Unexpected);
    from_device(Message::Push { space: 1, batch: bytes.clone() }, CloseCode::Unexpected);
    from_device(Message::Push { space: 0, batch: vec![0, 0] }, CloseCode::BatchMalformed);
    from_device(Message::Batch { space: 0, offset: 99, digest, batch: bytes }, CloseCode::Unexpected);
}

#[test]
fn frames_before_their_time_end_the_link() {
    let mut world = World::new(1, &[space(1)]);
    world.connect(0);
    let early = Message::Ping { number: 1 }.encode();
    assert_eq!(device_reason(&mut world, early.clone()), Some(CloseReason::Here(CloseCode::Unexpected)));
    assert_eq!(relay_reason(&mut world, early), Some(CloseReason::Here(CloseCode::Unexpected)));
}

#[test]
fn a_session_that_is_over_puts_nothing_out_any_more() {
    let mut world = link_after(1_000);
    world.tell_device(0, DeviceInput::Close);
    world.tell_relay(0, RelayInput::Close(CloseCode::Busy));
    let link = &mut world.links[0];
    link.device.handle(DeviceInput::LocalChange { unsent: 1 }, at(2_000_000));
    link.device.handle(DeviceInput::Tick, at(9_000_000));
    link.device.handle(DeviceInput::Ingested { space: space(1) }, at(9_000_000));
    link.relay.handle(RelayInput::News { space: space(1), head: 900 }, at(2_000_000));
    link.relay.handle(RelayInput::Tick, at(9_000_000));
    assert!(link.device.poll_output().is_none() && link.relay.poll_output().is_none());
}

#[test]
fn inputs_that_answer_nothing_are_passed_over() {
    let mut world = link_after(1_000);
    let link = &mut world.links[0];
    let batch = world.log.spaces[&space(1)][0].1.clone();
    link.device.handle(DeviceInput::Ingested { space: space(7) }, at(1_000_000));
    link.device.handle(DeviceInput::Ingested { space: space(1) }, at(1_000_000));
    link.device
        .handle(DeviceInput::Outgoing { batches: vec![batch.clone(); 3], exhausted: false }, at(1_000_000));
    link.relay.handle(RelayInput::Opened(Vec::new()), at(1_000_000));
    let outcome = crate::control::Verdict::Accepted;
    link.relay.handle(RelayInput::Appended { batch: batch.id(), outcome }, at(1_000_000));
    link.relay
        .handle(RelayInput::Read { space: space(1), batches: Vec::new(), reached: None }, at(1_000_000));
    while let Some(output) = link.device.poll_output() {
        assert!(!matches!(output, DeviceOutput::Closed(_)));
    }
    while let Some(output) = link.relay.poll_output() {
        assert!(!matches!(output, RelayOutput::Closed(_) | RelayOutput::Send(_)));
    }
}
