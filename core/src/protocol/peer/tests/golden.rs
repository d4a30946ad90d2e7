//! The examples of PROTOCOL.md.

use super::message::PeerMessage;
use super::*;
use crate::examples::check_hex;
use crate::protocol::peer::message::Heights;

#[test]
fn an_exchange_begins_as_in_the_examples() {
    let spaces = vec![space(3)];
    let mut pair = Pair::with(Holding::default(), spaces.clone(), Holding::default(), spaces);
    for (name, is_joining) in [
        ("peer-first", true),
        ("peer-answer", false),
        ("peer-spaces-joining", true),
        ("peer-spaces-inviting", false),
    ] {
        let (from, to) = if is_joining {
            (&mut pair.joining, &mut pair.inviting)
        } else {
            (&mut pair.inviting, &mut pair.joining)
        };
        let frame = from.sent.pop_front().unwrap();
        check_hex(name, &frame);
        to.handle(PeerInput::Frame(frame));
    }
}

#[test]
fn messages_are_as_in_the_examples() {
    let height = Height {
        device: DeviceId::from_bytes([1; 32]),
        incarnation: Incarnation::from_bytes([2; 8]),
        lane: Lane::Normal,
        seq: 300,
        batch: BatchId::from_bytes([9; 32]),
    };
    let heights = Heights { space: 0, is_control: false, goes_on: false, heights: vec![height] };
    check_hex("peer-heights", &PeerMessage::Heights(heights).encode());
    let tally = Tally { taken: 3, held: 300, ..Tally::default() };
    check_hex("peer-taken", &PeerMessage::Taken { len: 700, tally }.encode());
}
