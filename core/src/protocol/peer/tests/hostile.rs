//! Strangers learn nothing, and hostile messages end the exchange without growth.

use crate::protocol::peer::message::Heights;
use proptest::prelude::*;

use super::message::PeerMessage;
use super::*;
use crate::limits::{PEER_CHAINS_MAX, PEER_HEIGHTS_MAX};

fn inviting(invitation: &Arc<Invitation>) -> End {
    End::new(2, PeerRole::Inviting(Arc::clone(invitation)), holdings().1, vec![space(1), space(2)])
}

fn joining(n: u8, code: &PairingCode) -> End {
    End::new(n, PeerRole::Joining(code.clone()), holdings().0, vec![space(1), space(2)])
}

#[test]
fn who_does_not_know_the_code_gets_no_answer_at_all() {
    let invitation = invitation();
    let another = Invitation::new(identity(2).device(), [0xac; 16], at(0));
    let mut end = inviting(&invitation);
    let first = joining(9, another.code()).sent.remove(0).unwrap();
    end.handle(PeerInput::Frame(first));
    assert_eq!(end.closed, Some(CloseReason::Here(CloseCode::Impersonation)));
    assert!(end.sent.is_empty());
    assert_eq!(invitation.check(at(1)), Ok(()), "and the code still lets the right one in");
}

#[test]
fn whoever_is_not_the_device_of_the_code_cannot_answer() {
    let code = invitation().code().clone();
    let mut end = joining(1, &code);
    // The code's text was seen by somebody, who answers in the other's place with a key of their own.
    let first = end.sent.remove(0).unwrap();
    let config = PeerSessionConfig {
        identity: identity(9),
        role: PeerRole::Inviting(invitation()),
        ephemeral: [7; 32],
        spaces: vec![space(1)],
    };
    let mut stranger = PeerSession::new(config, at(0));
    stranger.handle(PeerInput::Frame(first), at(0));
    let outputs: Vec<_> = std::iter::from_fn(|| stranger.poll_output()).collect();
    assert!(outputs.iter().all(|output| !matches!(output, PeerOutput::Send(_))));
    end.handle(PeerInput::Frame(vec![7; 63]));
    assert_eq!(end.closed, Some(CloseReason::Here(CloseCode::Impersonation)));
    assert!(end.sent.is_empty(), "not even the number of spaces was said");
}

#[test]
fn a_repeated_handshake_uses_no_code_up_and_hears_of_no_space() {
    let invitation = invitation();
    let first = joining(1, invitation.code()).sent.remove(0).unwrap();
    let mut end = inviting(&invitation);
    end.handle(PeerInput::Frame(first.clone()));
    assert_eq!(end.sent.len(), 1, "the answer of the handshake, which only the right one can read");
    assert_eq!(end.sent[0].len(), 32 + 1 + 16);
    for forged in [first, vec![0; 100], end.sent[0].clone()] {
        let mut end = inviting(&invitation);
        end.handle(PeerInput::Frame(joining(1, invitation.code()).sent.remove(0).unwrap()));
        end.sent.clear();
        end.handle(PeerInput::Frame(forged));
        assert_eq!(end.closed, Some(CloseReason::Here(CloseCode::Malformed)));
        assert!(end.sent.is_empty());
    }
    assert_eq!(invitation.check(at(1)), Ok(()));
}

#[test]
fn a_code_lets_one_device_in_and_ends_by_the_clock_of_who_shows_it() {
    let invitation = invitation();
    let (mut first, mut end) = (joining(1, invitation.code()), inviting(&invitation));
    end.handle(PeerInput::Frame(first.sent.remove(0).unwrap()));
    first.handle(PeerInput::Frame(end.sent.remove(0).unwrap()));
    end.handle(PeerInput::Frame(first.sent.remove(0).unwrap()));
    assert_eq!(invitation.check(at(1)), Err(InvitationError::Used));
    let mut second = inviting(&invitation);
    second.handle(PeerInput::Frame(joining(3, invitation.code()).sent.remove(0).unwrap()));
    assert_eq!(second.closed, Some(CloseReason::Here(CloseCode::PairingUsed)));
    assert!(second.sent.is_empty());

    let old = Arc::new(Invitation::new(identity(2).device(), [1; 16], at(-crate::limits::PAIRING_MS_MAX)));
    let mut late = inviting(&old);
    late.handle(PeerInput::Frame(joining(1, old.code()).sent.remove(0).unwrap()));
    assert_eq!(late.closed, Some(CloseReason::Here(CloseCode::PairingExpired)));
    assert!(late.sent.is_empty());
}

#[test]
fn a_device_that_claims_the_name_of_another_is_not_believed() {
    let invitation = invitation();
    let psk = invitation.code().psk();
    let versions = Versions::PEERS;
    let (key, prologue) = (identity(9), prologue(versions));
    let keys = PeerKeys { identity: &key, psk: &psk, prologue: &prologue, ephemeral: [5; 32] };
    let mut handshake = Handshake::joining(&keys, identity(2).device()).unwrap();
    let mut frame = vec![versions.lowest, versions.highest];
    frame.extend(handshake.write(identity(1).device().as_bytes()).unwrap());
    let mut end = inviting(&invitation);
    end.handle(PeerInput::Frame(frame));
    assert_eq!(end.closed, Some(CloseReason::Here(CloseCode::Impersonation)));
    assert!(end.sent.is_empty());
}

#[test]
fn ends_that_speak_no_common_version_say_so() {
    let invitation = invitation();
    let (mut newer, mut end) = (joining(1, invitation.code()), inviting(&invitation));
    let mut first = newer.sent.remove(0).unwrap();
    (first[0], first[1]) = (200, 201);
    end.handle(PeerInput::Frame(first));
    assert_eq!(end.closed, Some(CloseReason::Here(CloseCode::Version)));
    assert_eq!(end.sent, [vec![1, 1]]);
    newer.handle(PeerInput::Frame(vec![200, 201]));
    assert_eq!(newer.closed, Some(CloseReason::Here(CloseCode::Version)));
}

/// A pair whose joining end is an attacker with a code, who says anything once the spaces are known.
struct Attack {
    end: End,
    channel: Channel,
}

impl Attack {
    fn new() -> Self {
        let (one, two) = holdings();
        let mut pair = Pair::new(one, two);
        // The first frame, its answer, the spaces, and what the other end says of its own.
        for _ in 0..2 {
            let frame = pair.joining.sent.pop_front().unwrap();
            pair.inviting.handle(PeerInput::Frame(frame));
            let frame = pair.inviting.sent.pop_front().unwrap();
            pair.joining.handle(PeerInput::Frame(frame));
        }
        pair.inviting.sent.clear();
        let channel = pair.joining.session.channel.take().unwrap();
        // What the joining end said by itself just now is not sent: the attacker begins anew after it.
        let mut attack = Self { end: pair.inviting, channel };
        for frame in pair.joining.sent {
            attack.end.handle(PeerInput::Frame(frame));
        }
        attack.end.sent.clear();
        attack
    }

    fn say(&mut self, bytes: &[u8]) {
        for frame in self.channel.seal(bytes).unwrap() {
            self.end.handle(PeerInput::Frame(frame));
        }
    }

    fn answer_to(mut self, bytes: &[u8]) -> Option<CloseReason> {
        self.say(bytes);
        self.end.closed
    }
}

#[test]
fn messages_out_of_turn_or_beyond_their_bounds_end_the_exchange() {
    let closed = |code| Some(CloseReason::Here(code));
    let batch = |space_place: u8, batch: &SealedBatch| {
        PeerMessage::Batch { space: space_place, batch: batch.as_bytes().to_vec() }.encode()
    };
    let data = sealed(1, space(1), Lane::Normal, BatchKind::Entries, 1, 10);
    let control = sealed(100, space(2), Lane::Urgent, BatchKind::Control, 1, 10);
    for (said, expected) in [
        (PeerMessage::Spaces(Vec::new()).encode(), CloseCode::Unexpected),
        (PeerMessage::Done.encode(), CloseCode::Unexpected),
        (PeerMessage::Opened { space: 0, digest: None }.encode(), CloseCode::Unexpected),
        (PeerMessage::Taken { len: u64::MAX, tally: Tally::default() }.encode(), CloseCode::Unexpected),
        (batch(0, &data), CloseCode::Unexpected),
        (batch(9, &control), CloseCode::Unexpected),
        (batch(0, &control), CloseCode::BatchMalformed),
        (vec![0x10, 0, 1, 2, 3], CloseCode::BatchMalformed),
        (vec![0x55], CloseCode::Malformed),
        (vec![0x01, 0xff, 0xff, 0xff, 0x7f], CloseCode::Malformed),
        (vec![0x02, 0, 0, 0xff, 0xff, 0x7f], CloseCode::Malformed),
    ] {
        assert_eq!(Attack::new().answer_to(&said), closed(expected), "{said:02x?}");
    }
}

#[test]
fn a_flood_of_batches_or_of_heights_is_bounded() {
    let mut attack = Attack::new();
    let control = sealed(100, space(1), Lane::Urgent, BatchKind::Control, 1, 16_000);
    let said = PeerMessage::Batch { space: 0, batch: control.as_bytes().to_vec() }.encode();
    let mut count = 0;
    while attack.end.closed.is_none() {
        attack.say(&said);
        count += 1;
    }
    assert_eq!(attack.end.closed, Some(CloseReason::Here(CloseCode::Overrun)));
    assert!(count * 16_000 < crate::limits::PEER_WINDOW_LEN + 2 * FRAME_LEN_MAX);

    // In the second part, where heights are awaited.
    let mut attack = Attack::new();
    attack.say(&PeerMessage::ControlDone.encode());
    attack.say(&PeerMessage::Opened { space: 0, digest: Some([0; 16]) }.encode());
    let mut next = 0u64;
    let mut heights = || {
        let height = |n: u64| {
            let mut device = [0; 32];
            device[..8].copy_from_slice(&n.to_be_bytes());
            Height {
                device: DeviceId::from_bytes(device),
                incarnation: Incarnation::from_bytes([0; 8]),
                lane: Lane::Normal,
                seq: 1,
                batch: BatchId::from_bytes([1; 32]),
            }
        };
        next += PEER_HEIGHTS_MAX as u64;
        (next..next + PEER_HEIGHTS_MAX as u64).map(height).collect()
    };
    let mut messages = 0;
    while attack.end.closed.is_none() {
        let part = Heights { space: 0, is_control: false, goes_on: true, heights: heights() };
        attack.say(&PeerMessage::Heights(part).encode());
        messages += 1;
    }
    assert_eq!(attack.end.closed, Some(CloseReason::Here(CloseCode::TooLarge)));
    assert_eq!(messages, PEER_CHAINS_MAX / PEER_HEIGHTS_MAX + 1);
}

/// Every message of a real exchange, as it is said.
fn said() -> Vec<Vec<u8>> {
    let height = |n: u8| Height {
        device: DeviceId::from_bytes([n; 32]),
        incarnation: Incarnation::from_bytes([n; 8]),
        lane: Lane::Normal,
        seq: 300,
        batch: BatchId::from_bytes([n; 32]),
    };
    let heights =
        |is_control| Heights { space: 0, is_control, goes_on: false, heights: vec![height(1), height(2)] };
    let control = sealed(100, space(1), Lane::Urgent, BatchKind::Control, 1, 40);
    [
        PeerMessage::Spaces(vec![[1; 16], [2; 16]]),
        PeerMessage::Heights(heights(true)),
        PeerMessage::Heights(heights(false)),
        PeerMessage::Opened { space: 0, digest: Some([7; 16]) },
        PeerMessage::ControlDone,
        PeerMessage::Batch { space: 0, batch: control.as_bytes().to_vec() },
        PeerMessage::Take,
        PeerMessage::Taken { len: 700, tally: Tally { taken: 3, held: 300, ..Tally::default() } },
        PeerMessage::Done,
        PeerMessage::Close(CloseCode::Busy),
    ]
    .map(|message| message.encode())
    .into()
}

#[test]
fn a_message_reads_back_from_its_own_bytes_and_has_one_form() {
    for bytes in said() {
        let message = PeerMessage::decode(&bytes).unwrap();
        assert_eq!(message.encode(), bytes, "{message:?}");
        for len in 0..bytes.len() {
            if let Ok(message) = PeerMessage::decode(&bytes[..len]) {
                assert_eq!(message.encode(), bytes[..len], "only a batch may end anywhere: {message:?}");
            }
        }
    }
}

proptest! {
    #[test]
    fn mutated_messages_end_in_a_typed_error_or_change_nothing(
        which in 0usize..10,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        goes_first in 0usize..10,
    ) {
        let all = said();
        let mut bytes = all[which].clone();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(message) = PeerMessage::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes.clone());
        }
        let mut attack = Attack::new();
        attack.say(&all[goes_first]);
        if attack.end.closed.is_none() {
            attack.say(&bytes);
        }
        let waiting: usize = attack.end.sent.iter().map(Vec::len).sum();
        prop_assert!(waiting < 100_000);
        prop_assert!(attack.end.spaces.len() == 2);
        attack.end.handle(PeerInput::Cut);
        prop_assert!(attack.end.closed.is_some());
    }

    #[test]
    fn frames_altered_on_the_way_end_the_exchange_and_are_never_believed(
        frames in 0usize..30,
        at in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let (one, two) = holdings();
        let mut pair = Pair::new(one, two);
        pair.steps(frames);
        let is_joining = !pair.joining.sent.is_empty();
        let (from, to) = if is_joining {
            (&mut pair.joining, &mut pair.inviting)
        } else {
            (&mut pair.inviting, &mut pair.joining)
        };
        let Some(mut frame) = from.sent.pop_front() else { return Ok(()) };
        let before = to.holding.ids();
        let at = at.index(frame.len());
        frame[at] ^= 1 << bit;
        to.handle(PeerInput::Frame(frame));
        prop_assert!(matches!(to.closed, Some(CloseReason::Here(_))), "{:?}", to.closed);
        let after = to.holding.ids();
        prop_assert!(before.iter().all(|id| after.contains(id)));
    }
}
