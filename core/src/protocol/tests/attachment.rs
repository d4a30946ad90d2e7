//! Attachments over links that are slow, cut and spoiled: every one arrives whole, and no batch waits.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::message::{Message, Versions};
use super::super::{AttachmentName, AttachmentRefusal, CloseCode, CloseReason, DeviceInput, RelayInput};
use super::album::picture;
use super::world::{World, at, space};
use crate::batch::Lane;
use crate::id::AttachmentHash;
use crate::limits::{
    ATTACHMENT_ANSWER_MS_MAX, ATTACHMENT_LEN_MAX, ATTACHMENT_OFFERS_MAX, OFFER_AGAIN_MS_MIN,
};

const FIRST: Versions = Versions { lowest: 1, highest: 1 };

/// Attaches so many pictures of a length on the first phone.
fn attach(world: &mut World, count: u8, len: usize) -> Vec<AttachmentName> {
    (0..count).map(|number| world.phones[0].album.attach(space(1), picture(number, len), false)).collect()
}

fn frames_of(frames: &[Vec<u8>], kind: u8) -> usize {
    frames.iter().filter(|frame| frame[0] == kind).count()
}

#[test]
fn an_attachment_comes_to_the_relay_and_from_there_to_who_wants_it() {
    let mut world = World::new(2, &[space(1)]);
    let names = attach(&mut world, 20, 50_000);
    world.connect(0);
    world.run_until_quiet();
    assert!(names.iter().all(|name| world.log.shelf.is_whole(*name)));
    let album = &world.phones[0].album;
    assert_eq!((album.acknowledged.len(), album.progress.up, album.progress.up_len), (20, 20, 1_000_000));
    assert_eq!(world.log.shelf.repeated_len, 0);
    world.phones[1].album.wanted = names.clone();
    world.connect(1);
    world.run_until_quiet();
    let album = &world.phones[1].album;
    assert!(names.iter().all(|name| album.held[name] == world.log.shelf.blobs[name].1));
    assert_eq!((album.whole.len(), album.progress.down_len), (20, 1_000_000));
}

#[test]
fn a_link_without_attachments_has_not_one_frame_more() {
    let mut world = World::new(1, &[space(1)]);
    world.phones[0].record(space(1), Lane::Normal, 500);
    let link = world.connect(0);
    world.run_for(120_000);
    let frames = [&world.links[link].up.sent[..], &world.links[link].down.sent].concat();
    assert!(frames.iter().all(|frame| frame[0] < 0x40));
    assert_eq!(world.phones[0].album.asked, 1);
}

#[test]
fn on_a_link_of_the_first_version_no_attachment_is_spoken_of() {
    for versions in [(FIRST, Versions::SPOKEN), (Versions::SPOKEN, FIRST)] {
        let mut world = World::new(1, &[space(1)]);
        let names = attach(&mut world, 2, 3_000);
        world.versions = versions;
        let batch = world.phones[0].record(space(1), Lane::Normal, 500);
        let link = world.connect(0);
        world.run_for(60_000);
        assert!(world.log.batches(space(1)).contains(&batch));
        assert_eq!(world.phones[0].album.asked, 0);
        assert!(world.log.shelf.blobs.is_empty());
        let sought = RelayInput::AttachmentsSought { space: space(1), hashes: vec![names[0].1] };
        world.tell_relay(link, sought);
        assert_eq!(frames_of(&world.links[link].down.sent, 0x48), 0);
        let offer = Message::Offer { space: 0, hash: names[0].1, len: 3_000 };
        world.tell_relay(link, RelayInput::Frame(offer.encode()));
        assert_eq!(
            world.links[link].relay_closed,
            (versions.0 == FIRST || versions.1 == FIRST).then_some(CloseReason::Here(CloseCode::Unexpected))
        );
    }
}

#[test]
fn thumbnails_go_before_originals_and_then_the_oldest() {
    let mut world = World::new(1, &[space(1)]);
    world.bytes_a_second = Some(8_000);
    let originals = attach(&mut world, 3, 40_000);
    world.connect(0);
    world.run_for(3_000);
    // In the middle of the first original.
    let album = &mut world.phones[0].album;
    let thumbnails = [7, 8].map(|number| album.attach(space(1), picture(number, 4_000), true));
    world.tell_device(0, DeviceInput::AttachmentsChanged);
    world.run_until_quiet();
    assert_eq!(world.log.shelf.completed, [&thumbnails[..], &originals].concat());
    assert_eq!(world.log.shelf.repeated_len, 0);
}

#[test]
fn a_record_waits_for_no_attachment_on_a_slow_link() {
    let mut world = World::new(2, &[space(1)]);
    world.bytes_a_second = Some(8_000);
    attach(&mut world, 10, 300_000);
    // What another wants comes down the same link at the same time.
    let wanted = world.phones[1].album.attach(space(1), picture(99, 300_000), false);
    let first = world.connect(1);
    world.run_for(200_000);
    world.cut(first);
    world.phones[0].album.wanted = vec![wanted];
    let link = world.connect(0);
    for _ in 0..20 {
        world.run_for(4_000);
        let batch = world.record(link, space(1), Lane::Urgent, 300);
        let recorded = world.now;
        world.run_for(6_000);
        let (_, heard) = world.links[link].acknowledged.iter().find(|(id, _)| *id == batch).unwrap();
        assert!(heard.millis_since(recorded) < 4_000, "{} ms", heard.millis_since(recorded));
    }
    assert!(world.log.shelf.came_len > 900_000, "and the link is used: {}", world.log.shelf.came_len);
    assert!(world.phones[0].album.whole.contains(&wanted));
}

#[test]
fn while_many_records_go_or_come_no_attachment_does() {
    let mut world = World::new(2, &[space(1)]);
    world.bytes_a_second = Some(20_000);
    for _ in 0..10 {
        world.phones[1].record(space(1), Lane::Normal, 30_000);
        world.phones[0].record(space(1), Lane::Normal, 30_000);
    }
    let first = world.connect(1);
    world.run_until_quiet();
    world.cut(first);
    attach(&mut world, 1, 2_000);
    let link = world.connect(0);
    world.run_until_quiet();
    let up = &world.links[link].up.sent;
    let offered = up.iter().position(|frame| frame[0] == 0x40).unwrap();
    let last_push = up.iter().rposition(|frame| frame[0] == 0x10).unwrap();
    assert!(offered > last_push);
    assert_eq!(world.log.shelf.completed.len(), 1);
}

#[test]
fn a_link_that_flaps_sends_hardly_a_byte_twice() {
    let mut world = World::new(1, &[space(1)]);
    world.bytes_a_second = Some(8_000);
    let names = attach(&mut world, 30, 20_000);
    for _ in 0..60 {
        let link = world.connect(0);
        world.run_for(5_000);
        world.cut(link);
    }
    assert!(names.iter().all(|name| world.log.shelf.is_whole(*name)), "{}", world.log.shelf.completed.len());
    assert!(world.log.shelf.repeated_len * 50 < 600_000, "{}", world.log.shelf.repeated_len);
    assert!(world.log.shelf.came_len < 612_000, "{}", world.log.shelf.came_len);
}

#[test]
fn what_was_harmed_on_its_way_begins_again_but_not_without_end() {
    for (spoils, arrives) in [(1, true), (3, true), (100_000, false)] {
        let mut world = World::new(1, &[space(1)]);
        let names = attach(&mut world, 1, 10_000);
        world.log.shelf.spoils = spoils;
        world.connect(0);
        world.run_until_quiet();
        assert_eq!(world.log.shelf.is_whole(names[0]), arrives, "{spoils}");
        assert_eq!(world.phones[0].album.acknowledged.contains_key(&names[0]), arrives);
        assert!(world.log.shelf.came_len <= 5 * 10_000);
    }
}

#[test]
fn what_comes_down_harmed_is_fetched_again_but_not_without_end() {
    for (spoils, arrives) in [(1, true), (3, true), (100_000, false)] {
        let mut world = World::new(1, &[space(1)]);
        let bytes = picture(5, 10_000);
        let name = (space(1), AttachmentHash::of(&bytes));
        world.log.shelf.blobs.insert(name, (10_000, bytes));
        world.log.shelf.spoils_out = spoils;
        world.phones[0].album.wanted = vec![name];
        let link = world.connect(0);
        world.run_until_quiet();
        assert_eq!(world.phones[0].album.whole.contains(&name), arrives, "{spoils}");
        assert!(world.links[link].down.bytes() <= 50_000);
    }
}

#[test]
fn what_is_refused_for_now_is_offered_again_and_what_is_refused_for_good_is_not() {
    for refusal in AttachmentRefusal::ALL.iter().filter(|refusal| **refusal != AttachmentRefusal::Harmed) {
        let mut world = World::new(1, &[space(1)]);
        let names = attach(&mut world, 2, 3_000);
        world.log.shelf.refusals.insert(names[0], *refusal);
        let link = world.connect(0);
        world.run_until_quiet();
        assert_eq!(world.phones[0].album.refused, [(names[0], *refusal)]);
        assert!(world.log.shelf.is_whole(names[1]), "the others go on");
        world.run_for(15 * 60_000);
        let offers = frames_of(&world.links[link].up.sent, 0x40);
        assert!((refusal.is_for_now() && (7..12).contains(&offers)) || offers == 2, "{refusal:?}: {offers}");
        world.log.shelf.refusals.clear();
        world.run_for(6 * 60_000);
        assert_eq!(world.log.shelf.is_whole(names[0]), refusal.is_for_now());
    }
}

#[test]
fn what_the_relay_lacks_is_asked_for_again_now_and_then_or_when_it_says_that_it_came() {
    let mut world = World::new(2, &[space(1)]);
    let bytes = picture(3, 5_000);
    let name = (space(1), AttachmentHash::of(&bytes));
    world.phones[1].album.wanted = vec![name];
    let link = world.connect(1);
    world.run_for(10 * 60_000);
    let fetches = frames_of(&world.links[link].up.sent, 0x44);
    assert!((5..10).contains(&fetches), "{fetches}");
    world.log.shelf.blobs.insert(name, (5_000, bytes));
    let held = RelayInput::AttachmentHeld { space: space(1), hash: name.1, held: 5_000, len: 5_000, head: 0 };
    world.tell_relay(link, held);
    world.run_until_quiet();
    assert!(world.phones[1].album.whole.contains(&name));
}

#[test]
fn what_a_relay_seeks_is_given_by_whoever_has_it() {
    let mut world = World::new(1, &[space(1)]);
    let names = attach(&mut world, 3, 2_000);
    let link = world.connect(0);
    world.run_until_quiet();
    assert_eq!(world.phones[0].album.acknowledged.len(), 3);
    world.log.shelf.blobs.clear();
    let hashes =
        (0..200).map(|number| AttachmentHash::from_bytes([number; 32])).chain([names[1].1]).collect();
    world.tell_relay(link, RelayInput::AttachmentsSought { space: space(1), hashes });
    world.run_until_quiet();
    assert_eq!(frames_of(&world.links[link].down.sent, 0x48), 4);
    assert_eq!(world.log.shelf.blobs.keys().collect::<Vec<_>>(), [&names[1]]);
}

#[test]
fn a_device_that_was_revoked_gives_none_and_gets_none() {
    let mut world = World::new(1, &[space(1)]);
    let names = attach(&mut world, 1, 2_000);
    let bytes = picture(9, 2_000);
    let other = (space(1), AttachmentHash::of(&bytes));
    world.log.shelf.blobs.insert(other, (2_000, bytes));
    world.phones[0].album.wanted = vec![other];
    let device = world.phones[0].identity.device();
    world.log.revoked.insert(device);
    world.connect(0);
    world.run_until_quiet();
    assert_eq!(world.phones[0].album.refused, [(names[0], AttachmentRefusal::NotPermitted)]);
    assert!(world.phones[0].album.whole.len() == 1 && world.log.shelf.blobs.len() == 1);
}

#[test]
fn a_relay_lets_nobody_send_more_than_there_is_room_for() {
    let mut world = World::new(1, &[space(1)]);
    let link = world.connect(0);
    world.run_until_quiet();
    let hash = AttachmentHash::from_bytes([1; 32]);
    for (len, refused) in [(0, true), (ATTACHMENT_LEN_MAX + 1, true), (ATTACHMENT_LEN_MAX, false)] {
        let offer = Message::Offer { space: 0, hash, len };
        world.tell_relay(link, RelayInput::Frame(offer.encode()));
        let last = Message::decode(world.links[link].down.sent.last().unwrap()).unwrap();
        assert_eq!(matches!(last, Message::NotWanted { .. }), refused, "{len}");
    }
    // In a space that is not open.
    let offer = Message::Offer { space: 1, hash, len: 5 };
    world.tell_relay(link, RelayInput::Frame(offer.encode()));
    assert_eq!(world.links[link].relay_closed, Some(CloseReason::Here(CloseCode::Unexpected)));
}

#[test]
fn a_clock_set_back_keeps_nothing_waiting() {
    let mut world = World::new(1, &[space(1)]);
    let names = attach(&mut world, 1, 2_000);
    world.log.shelf.refusals.insert(names[0], AttachmentRefusal::NotNow);
    world.connect(0);
    world.run_until_quiet();
    world.log.shelf.refusals.clear();
    world.set_clocks_back(3_600_000);
    world.run_for(2 * OFFER_AGAIN_MS_MIN);
    assert!(world.log.shelf.is_whole(names[0]));
}

#[test]
fn what_was_harmed_so_that_nobody_answers_is_not_waited_for_without_end() {
    for kind in [0x40, 0x41, 0x42, 0x44, 0x45] {
        let mut world = World::new(1, &[space(1)]);
        let names = attach(&mut world, 3, 30_000);
        let bytes = picture(9, 30_000);
        let wanted = (space(1), AttachmentHash::of(&bytes));
        world.log.shelf.blobs.insert(wanted, (30_000, bytes));
        world.phones[0].album.wanted = vec![wanted];
        world.loses = Some(kind);
        world.connect(0);
        world.run_for(2 * ATTACHMENT_ANSWER_MS_MAX);
        assert_eq!(world.loses, None, "{kind:#x}");
        assert!(names.iter().all(|name| world.log.shelf.is_whole(*name)), "{kind:#x}");
        assert!(world.phones[0].album.acknowledged.len() == 3, "{kind:#x}");
        assert!(world.phones[0].album.whole.contains(&wanted), "{kind:#x}");
    }
}

#[test]
fn a_relay_that_was_told_another_length_is_not_believed_to_have_all() {
    let mut world = World::new(1, &[space(1)]);
    let names = attach(&mut world, 1, 3_000);
    // As if the offer had been harmed on its way.
    world.log.shelf.blobs.insert(names[0], (3_001, Vec::new()));
    world.connect(0);
    world.run_until_quiet();
    assert!(!world.log.shelf.is_whole(names[0]) && world.phones[0].album.acknowledged.is_empty());
    world.log.shelf.blobs.clear();
    world.run_for(2 * OFFER_AGAIN_MS_MIN);
    assert!(world.log.shelf.is_whole(names[0]) && world.phones[0].album.acknowledged.len() == 1);
}

#[test]
fn only_so_many_are_offered_at_a_time() {
    let mut world = World::new(1, &[space(1)]);
    attach(&mut world, 100, 1_000);
    let link = world.connect(0);
    let mut offers_ahead = 0;
    while world.deliver_one() {
        let (up, down) = (&world.links[link].up.sent, &world.links[link].down.sent);
        let whole = world.phones[0].album.acknowledged.len();
        offers_ahead = offers_ahead.max(frames_of(up, 0x40) - whole);
        assert!(frames_of(down, 0x41) <= 200);
    }
    assert_eq!(offers_ahead, ATTACHMENT_OFFERS_MAX / 2);
    assert_eq!(world.log.shelf.completed.len(), 100);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_cut_and_spoiled_everything_arrives_whole_at_last(
        lens in vec(1usize..60_000, 1..12),
        cuts in vec((0..120usize, 0..3usize, 0..3usize), 0..12),
        rate in prop::sample::select(vec![None, Some(8_000), Some(200_000)]),
    ) {
        let mut world = World::new(2, &[space(1), space(2)]);
        world.bytes_a_second = rate;
        let mut names = Vec::new();
        for (number, len) in lens.iter().enumerate() {
            let space = space(1 + number as u8 % 2);
            let is_thumbnail = number % 3 == 0;
            names.push(world.phones[0].album.attach(space, picture(number as u8, *len), is_thumbnail));
            world.phones[0].record(space, Lane::Normal, 400);
        }
        world.phones[1].album.wanted = names.clone();
        for (steps, spoils, spoils_out) in cuts {
            world.log.shelf.spoils = spoils;
            world.log.shelf.spoils_out = spoils_out;
            world.connect(0);
            world.connect(1);
            for _ in 0..steps {
                world.deliver_one();
            }
            for name in world.phones[0].album.acknowledged.keys() {
                prop_assert!(world.log.shelf.is_whole(*name), "acknowledged before it is whole");
            }
            world.cut(1);
            world.cut(0);
        }
        (world.log.shelf.spoils, world.log.shelf.spoils_out) = (0, 0);
        world.connect(0);
        world.run_for(30 * 60_000);
        world.connect(1);
        world.run_for(30 * 60_000);
        for name in &names {
            prop_assert!(world.log.shelf.is_whole(*name));
            prop_assert!(world.phones[0].album.acknowledged.contains_key(name));
            prop_assert!(world.phones[1].album.whole.contains(name));
        }
        prop_assert_eq!(world.phones[0].album.to_send.len(), 0);
        prop_assert!(world.now > at(0));
    }
}
