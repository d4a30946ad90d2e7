//! Both ends in good faith, over links that end at any moment.

use proptest::prelude::*;

use super::super::message::Message;
use super::super::{CloseCode, CloseReason, DeviceInput, RelayInput};
use super::world::{Log, World, space};
use crate::batch::{Lane, SealedBatch};
use crate::control::{QuarantineReason, RefuseReason, RetryReason, Verdict};
use crate::id::{BatchId, Incarnation};
use crate::limits::OFFER_REFUSED_MS;

/// Two phones, two spaces, and something recorded in each lane of each by both.
fn recorded() -> World {
    let mut world = World::new(2, &[space(1), space(2)]);
    for phone in &mut world.phones {
        for number in 1..=2 {
            phone.record(space(number), Lane::Bulk, 900);
            phone.record(space(number), Lane::Normal, 300);
            phone.record(space(number), Lane::Normal, 5_000);
            phone.record(space(number), Lane::Urgent, 80);
        }
    }
    world
}

fn sync(world: &mut World, phone: usize) {
    let link = world.connect(phone);
    world.run_until_quiet();
    // A word about where the log ends may still be due.
    world.run_for(2_000);
    assert_eq!(world.links[link].device_closed, None);
    // Again, if what was carried for others came back with its offset.
    assert!(world.links[link].up_to_date >= 1, "{:?}", world.links[link].progress.last());
    world.cut(link);
}

#[test]
fn a_first_sync_brings_everything_up_and_down() {
    let mut world = recorded();
    sync(&mut world, 0);
    sync(&mut world, 1);
    sync(&mut world, 0);
    world.assert_equal(&[space(1), space(2)]);
    assert_eq!(world.log.repeated, 0);
}

#[test]
fn urgent_batches_of_all_spaces_leave_before_all_others() {
    let mut world = recorded();
    let link = world.connect(0);
    world.run_until_quiet();
    let lanes: Vec<Lane> = world.links[link]
        .acknowledged
        .iter()
        .map(|(id, _)| {
            let all = world.phones[0].spaces.values().flat_map(|replica| &replica.own);
            all.into_iter().find(|batch| batch.id() == *id).unwrap().header().lane
        })
        .collect();
    assert!(lanes.is_sorted(), "{lanes:?}");
}

#[test]
fn a_link_cut_after_any_frame_is_resumed_and_no_batch_that_arrived_is_sent_again() {
    let spaces = [space(1), space(2)];
    for cut_after in 0.. {
        let mut world = recorded();
        sync(&mut world, 1);
        let link = world.connect(0);
        let mut is_over = false;
        for _ in 0..cut_after {
            is_over = !world.deliver_one();
        }
        world.cut(link);
        sync(&mut world, 0);
        sync(&mut world, 1);
        world.assert_equal(&spaces);
        assert_eq!(world.log.repeated, 0, "cut after {cut_after} frames");
        if is_over {
            assert!(cut_after > 20, "the link was cut at {cut_after} places only");
            break;
        }
    }
}

#[test]
fn a_link_cut_after_every_few_frames_still_gets_on() {
    for every in 5..9 {
        let mut world = recorded();
        for phone in [0, 1, 0] {
            for _ in 0..200 {
                let link = world.connect(phone);
                (0..every).for_each(|_| {
                    world.deliver_one();
                });
                world.cut(link);
            }
        }
        world.assert_equal(&[space(1), space(2)]);
        assert_eq!(world.log.repeated, 0);
    }
}

#[test]
fn a_reconnect_without_news_costs_at_most_500_bytes() {
    let mut world = recorded();
    (0..3).for_each(|_| (0..2).for_each(|phone| sync(&mut world, phone)));
    let link = world.connect(0);
    world.run_until_quiet();
    let link = &world.links[link];
    assert_eq!(link.up_to_date, 1);
    let (up, down) = (link.up.bytes(), link.down.bytes());
    println!("a reconnect without news, two spaces: {up} bytes up, {down} bytes down, {} in all", up + down);
    assert!(up + down <= 500);
    assert_eq!((link.up.sent.len(), link.down.sent.len()), (2, 2));
}

#[test]
fn a_device_never_gets_its_own_incarnations_batches_and_its_cursor_passes_them() {
    let mut world = recorded();
    let link = world.connect(0);
    world.run_until_quiet();
    assert!(world.links[link].down.sent.iter().all(|frame| frame[0] != 0x18), "a batch came back");
    assert_eq!(world.links[link].up_to_date, 1);
    assert_eq!(world.phones[0].spaces[&space(1)].commits, 0, "the cursor does not move with each batch");
    world.run_for(2_000);
    let cursor = world.phones[0].spaces[&space(1)].cursor.unwrap();
    assert_eq!(cursor.offset, 4);
    assert_eq!(Some(cursor.digest), world.log.digest_at(space(1), 4));
    assert_eq!(world.phones[0].spaces[&space(1)].commits, 1);
    assert_eq!(world.links[link].up_to_date, 1, "nothing came of it");
}

#[test]
fn a_clock_set_back_keeps_no_cursor_from_passing_a_devices_own_batches() {
    let mut world = recorded();
    world.connect(0);
    world.run_until_quiet();
    assert_eq!(world.phones[0].spaces[&space(1)].cursor, None, "they came a moment ago");
    world.set_clocks_back(365 * 24 * 3_600_000);
    world.run_for(10_000);
    assert_eq!(world.phones[0].spaces[&space(1)].cursor.map(|cursor| cursor.offset), Some(4));
}

#[test]
fn a_new_incarnation_gets_what_the_earlier_one_wrote() {
    let mut world = recorded();
    sync(&mut world, 0);
    let before = world.log.batches(space(1));
    let phone = &mut world.phones[0];
    phone.incarnation = Incarnation::from_bytes([42; 8]);
    phone.spaces.values_mut().for_each(|replica| *replica = Default::default());
    phone.record(space(1), Lane::Normal, 100);
    let link = world.connect(0);
    world.run_until_quiet();
    assert_eq!(world.links[link].up_to_date, 1);
    assert_eq!(world.links[link].relay_heights.len(), 2, "the relay knows chains that the device does not");
    assert!(world.phones[0].batches(space(1)).is_superset(&before));
    assert_eq!(world.log.batches(space(1)).len(), before.len() + 1);
}

#[test]
fn a_relay_with_a_new_log_gets_everything_back() {
    let mut world = recorded();
    (0..2).for_each(|_| (0..2).for_each(|phone| sync(&mut world, phone)));
    let before = world.log.batches(space(1));
    world.log = Log::new(2);
    // The first phone gives back what it holds of the second, too.
    for (phone, heights) in [(0, 2), (1, 0)] {
        let link = world.connect(phone);
        world.run_until_quiet();
        assert_eq!(world.links[link].resets, [space(1), space(2)]);
        assert_eq!(world.links[link].relay_heights.len(), heights);
        world.cut(link);
        assert_eq!(world.log.batches(space(1)), before);
    }
    assert_eq!(world.log.batches(space(1)), before);
    world.assert_equal(&[space(1), space(2)]);
}

#[test]
fn a_relay_whose_log_was_rolled_back_is_found_out_wherever_it_stands() {
    for kept in 0..8 {
        for grown in [false, true] {
            let mut world = recorded();
            (0..2).for_each(|_| (0..2).for_each(|phone| sync(&mut world, phone)));
            let before = world.log.batches(space(1));
            world.log.roll_back(space(1), kept);
            if grown {
                // Other batches take the offsets of those that were lost.
                for _ in 0..9 {
                    world.phones[1].record(space(1), Lane::Bulk, 50);
                }
                sync(&mut world, 1);
            }
            [0, 1, 0].into_iter().for_each(|phone| sync(&mut world, phone));
            assert!(world.log.batches(space(1)).is_superset(&before), "kept {kept}, grown: {grown}");
            world.assert_equal(&[space(1), space(2)]);
        }
    }
}

#[test]
fn a_relay_that_lost_acknowledged_batches_gets_no_benefit_of_the_doubt() {
    let mut world = World::new(3, &[space(1)]);
    let own = [
        world.phones[2].record(space(1), Lane::Normal, 1),
        world.phones[2].record(space(1), Lane::Normal, 2),
    ];
    world.phones[1].record(space(1), Lane::Normal, 3);
    (0..2).for_each(|_| [2, 1].into_iter().for_each(|phone| sync(&mut world, phone)));
    assert_eq!(world.phones[2].spaces[&space(1)].cursor.unwrap().offset, 3);
    // Two of three are lost; another phone's batch takes the place of one, the third comes back to
    // where it was: the batch at the cursor is the same by chance, and the log is not.
    world.log.roll_back(space(1), 1);
    world.phones[0].record(space(1), Lane::Normal, 4);
    [0, 1, 2].into_iter().for_each(|phone| sync(&mut world, phone));
    assert!(world.log.batches(space(1)).contains(&own[1]));
    assert_eq!(world.phones[2].batches(space(1)), world.log.batches(space(1)));
}

#[test]
fn what_one_device_writes_reaches_the_others_links_in_the_same_step() {
    let mut world = World::new(3, &[space(1)]);
    let links = [0, 1, 2].map(|phone| world.connect(phone));
    world.run_until_quiet();
    let batch = world.record(links[0], space(1), Lane::Urgent, 100);
    assert!(world.deliver_one(), "the push arrives");
    for link in &links[1..] {
        let sent = &world.links[*link].down.sent;
        let last: Vec<_> =
            sent[sent.len() - 2..].iter().map(|frame| Message::decode(frame).unwrap()).collect();
        assert!(matches!(last[0], Message::Batch { offset: 1, .. }), "{last:?}");
        assert!(matches!(last[1], Message::Ping { .. }), "{last:?}");
    }
    world.run_until_quiet();
    world.assert_equal(&[space(1)]);
    assert!(world.links.iter().all(|link| link.up_to_date == 2));
    assert_eq!(world.links[0].acknowledged[0].0, batch);
}

#[test]
fn a_space_that_the_device_is_no_member_of_keeps_nothing_from_the_others() {
    let mut world = recorded();
    let device = world.phones[0].identity.device();
    world.log.strangers.insert((device, space(1)));
    let link = world.connect(0);
    world.run_until_quiet();
    assert_eq!(world.links[link].not_member, [space(1)]);
    assert!(world.log.batches(space(1)).is_empty());
    assert_eq!(world.log.batches(space(2)).len(), 4);
    assert_eq!(world.links[link].up_to_date, 0, "what is unsent is not hidden");
    assert_eq!(world.links[link].progress.last().unwrap().held_back, 3);
}

#[test]
fn a_batch_that_is_asked_to_wait_stops_its_chain_alone_and_is_offered_again() {
    let mut world = recorded();
    let waiting = world.phones[0].spaces[&space(1)].own[1].id();
    world.log.verdicts.insert(waiting, Verdict::RetryLater(RetryReason::UnknownDevice));
    let link = world.connect(0);
    let began = world.now;
    world.run_until_quiet();
    let answers: Vec<_> = world.links[link].answered.iter().map(|(_, verdict, _)| *verdict).collect();
    let missing = Verdict::RetryLater(RetryReason::MissingPredecessor);
    assert_eq!(answers, [Verdict::RetryLater(RetryReason::UnknownDevice), missing]);
    assert_eq!(world.log.batches(space(1)).len(), 2, "the other lanes got through");
    assert_eq!(world.links[link].up_to_date, 0);
    world.run_for(4_000);
    assert_eq!(world.links[link].answered.len(), 2, "not before its time");
    world.run_for(2_000);
    assert_eq!(world.links[link].answered.len(), 4);
    world.log.verdicts.clear();
    world.run_for(60_000);
    assert_eq!(world.links[link].up_to_date, 1);
    assert_eq!(world.phones[0].unsent(), 0);
    assert!(world.links[link].acknowledged.iter().all(|(_, at)| at.millis_since(began) < 20_000));
}

/// A link on which one chain was asked to wait; the relay would take it by now.
fn asked_to_wait() -> (World, usize) {
    let mut world = recorded();
    let waiting = world.phones[0].spaces[&space(1)].own[1].id();
    world.log.verdicts.insert(waiting, Verdict::RetryLater(RetryReason::UnknownDevice));
    let link = world.connect(0);
    world.run_until_quiet();
    world.log.verdicts.clear();
    (world, link)
}

#[test]
fn a_batch_that_is_asked_to_wait_is_offered_again_as_soon_as_the_members_change() {
    let (mut world, link) = asked_to_wait();
    world.run_until_quiet();
    assert_eq!(world.links[link].up_to_date, 0);
    world.tell_device(link, DeviceInput::MembershipChanged);
    world.run_until_quiet();
    assert_eq!((world.links[link].up_to_date, world.phones[0].unsent()), (1, 0));
}

#[test]
fn a_clock_set_back_keeps_no_chain_waiting() {
    let (mut world, link) = asked_to_wait();
    world.set_clocks_back(365 * 24 * 3_600_000);
    world.run_for(10_000);
    assert_eq!(world.links[link].up_to_date, 1);
    assert_eq!(world.phones[0].unsent(), 0);
}

#[test]
fn a_batch_that_is_refused_twice_stops_its_chain_for_an_hour_and_no_other() {
    let mut world = recorded();
    let refused = world.phones[0].spaces[&space(1)].own[1].id();
    world.log.verdicts.insert(refused, Verdict::Refused(RefuseReason::NotPermitted));
    let link = world.connect(0);
    world.run_until_quiet();
    world.record(link, space(1), Lane::Normal, 10);
    world.record(link, space(1), Lane::Urgent, 10);
    world.run_for(600_000);
    let times_refused =
        |world: &World| world.links[link].answered.iter().filter(|(id, ..)| *id == refused).count();
    assert_eq!(times_refused(&world), 2);
    assert_eq!(world.links[link].progress.last().unwrap().held_back, 1);
    assert_eq!(world.links[link].up_to_date, 0);
    assert_eq!(world.phones[0].unsent(), 3);
    world.run_for(OFFER_REFUSED_MS);
    assert_eq!(times_refused(&world), 3);
    world.log.verdicts.clear();
    world.run_for(OFFER_REFUSED_MS);
    assert_eq!((world.links[link].up_to_date, world.phones[0].unsent()), (1, 0));
}

#[test]
fn a_batch_that_was_harmed_on_its_way_is_sent_again_on_the_same_link() {
    let mut world = recorded();
    let harmed = world.phones[0].spaces[&space(1)].own[1].id();
    world.log.verdicts.insert(harmed, Verdict::Refused(RefuseReason::WrongSignature));
    let link = world.connect(0);
    world.run_until_quiet();
    world.log.verdicts.clear();
    world.run_for(20_000);
    assert_eq!(world.links[link].up_to_date, 1);
    assert_eq!(world.phones[0].unsent(), 0);
}

/// Another brought what was harmed before the relay looked at what follows, which says nothing of where it is.
#[test]
fn a_batch_that_was_harmed_is_sent_again_though_what_follows_it_is_in_quarantine() {
    let mut world = recorded();
    let chain = |batch: &&SealedBatch| batch.header().lane == Lane::Normal;
    let own: Vec<BatchId> =
        world.phones[0].spaces[&space(1)].own.iter().filter(chain).map(SealedBatch::id).collect();
    world.log.verdicts.insert(own[0], Verdict::Refused(RefuseReason::WrongSignature));
    world.log.verdicts.insert(own[1], Verdict::Quarantined(QuarantineReason::Revoked));
    let link = world.connect(0);
    world.run_until_quiet();
    world.log.verdicts.remove(&own[0]);
    world.run_for(20_000);
    assert!(world.links[link].acknowledged.iter().any(|(batch, _)| *batch == own[0]));
    assert_eq!(world.links[link].up_to_date, 1);
}

#[test]
fn progress_downwards_is_known_from_the_beginning_and_ends_complete() {
    let mut world = recorded();
    for _ in 0..50 {
        world.phones[0].record(space(1), Lane::Normal, 2_000);
    }
    sync(&mut world, 0);
    let link = world.connect(1);
    world.run_until_quiet();
    let progress = &world.links[link].progress;
    let len: u64 = [space(1), space(2)]
        .iter()
        .flat_map(|space| &world.phones[0].spaces[space].own)
        .map(|batch| batch.as_bytes().len() as u64)
        .sum();
    assert!(progress.iter().all(|progress| progress.down.len_total == Some(len)), "{progress:?}");
    assert!(progress.is_sorted_by_key(|progress| progress.down.len));
    let last = progress.last().unwrap();
    assert_eq!((last.down.len, last.down.batches), (len, 58));
    assert_eq!(last.up.len_total, Some(last.up.len));
    assert_eq!(last.up.batches_total, Some(8));
}

#[test]
fn a_relay_hears_how_much_is_unsent_and_at_the_end_that_nothing_is() {
    let mut world = recorded();
    let link = world.connect(0);
    world.run_until_quiet();
    assert_eq!(world.links[link].seen, [8, 0]);
}

#[test]
fn a_link_that_a_device_ends_is_ended_in_good_order() {
    let mut world = recorded();
    let link = world.connect(0);
    world.run_until_quiet();
    world.tell_device(link, DeviceInput::Close);
    world.run_until_quiet();
    assert_eq!(world.links[link].device_closed, Some(CloseReason::Here(CloseCode::Done)));
    assert_eq!(world.links[link].relay_closed, Some(CloseReason::There(CloseCode::Done)));
}

#[test]
fn a_device_that_the_relay_turns_away_is_told_why() {
    for code in [CloseCode::UnknownDevice, CloseCode::Revoked, CloseCode::Busy, CloseCode::Reopen] {
        let mut world = recorded();
        let link = world.connect(0);
        world.run_until_quiet();
        world.tell_relay(link, RelayInput::Close(code));
        world.run_until_quiet();
        assert_eq!(world.links[link].device_closed, Some(CloseReason::There(code)));
        assert_eq!(world.links[link].relay_closed, Some(CloseReason::Here(code)));
    }
    assert!(CloseReason::There(CloseCode::UnknownDevice).is_worth_another_try());
    assert!(!CloseReason::There(CloseCode::Revoked).is_worth_another_try());
}

#[test]
fn control_batches_come_before_what_lies_before_them_and_once_more_in_their_turn() {
    let mut world = World::new(3, &[space(1)]);
    let first = world.phones[0].state(space(1));
    sync(&mut world, 0);
    for _ in 0..40 {
        world.phones[1].record(space(1), Lane::Normal, 9_000);
    }
    sync(&mut world, 1);
    let later = world.phones[0].state(space(1));
    sync(&mut world, 0);
    let link = world.connect(2);
    world.run_until_quiet();
    assert_eq!(world.links[link].control_ahead, [(later, 0)], "the first is in its turn anyway");
    let turns: Vec<_> = world.links[link]
        .down
        .sent
        .iter()
        .filter_map(|frame| match Message::decode(frame) {
            Ok(Message::Batch { batch, .. }) => crate::batch::unread_id(&batch),
            _ => None,
        })
        .collect();
    assert_eq!((turns.len(), turns[0], turns[41]), (42, first, later));
    assert_eq!(world.links[link].up_to_date, 1);
    assert_eq!(world.phones[2].batches(space(1)), world.log.batches(space(1)));
}

#[test]
fn a_control_batch_that_comes_while_much_is_on_its_way_overtakes_it() {
    let mut world = World::new(3, &[space(1)]);
    world.bytes_a_second = Some(20_000);
    for _ in 0..200 {
        world.phones[1].record(space(1), Lane::Normal, 9_000);
    }
    sync(&mut world, 1);
    let link = world.connect(2);
    world.run_for(10_000);
    let statement = world.phones[0].state(space(1));
    let other = world.connect(0);
    world.run_for(20_000);
    let [(id, held)] = world.links[link].control_ahead[..] else { panic!("it did not come ahead") };
    assert_eq!(id, statement);
    assert!(held < 100, "{held} came before it");
    world.run_for(120_000);
    world.cut(other);
    assert_eq!(world.phones[2].batches(space(1)), world.log.batches(space(1)));
}

#[test]
fn what_goes_into_quarantine_is_sent_once_its_chain_goes_on_and_the_device_is_up_to_date() {
    let mut world = recorded();
    let late: Vec<_> = world.phones[0].spaces[&space(1)].own.iter().map(SealedBatch::id).collect();
    let revoked = Verdict::Quarantined(QuarantineReason::Revoked);
    world.log.verdicts.extend(late.iter().map(|batch| (*batch, revoked)));
    let link = world.connect(0);
    world.run_until_quiet();
    assert_eq!(world.links[link].answered.len(), 4);
    assert_eq!((world.links[link].up_to_date, world.links[link].progress.last().unwrap().held_back), (1, 0));
    world.cut(link);
    let link = world.connect(0);
    world.run_until_quiet();
    assert_eq!((world.links[link].answered.len(), world.links[link].quarantine_differs), (0, 0));
    world.cut(link);
    // A relay whose disk was put back has none of it.
    world.log.quarantined.clear();
    let link = world.connect(0);
    world.run_until_quiet();
    assert_eq!((world.links[link].answered.len(), world.links[link].quarantine_differs), (4, 1));
    assert_eq!(world.log.quarantined[&space(1)].len(), 4);
    // Nor is it enough that it has as many.
    world.cut(link);
    let there = world.log.quarantined.get_mut(&space(1)).unwrap();
    there.pop_last();
    there.insert(BatchId::from_bytes([1; 32]));
    let link = world.connect(0);
    world.run_until_quiet();
    assert_eq!((world.links[link].answered.len(), world.links[link].quarantine_differs), (4, 1));
    assert!(late.iter().all(|batch| world.log.quarantined[&space(1)].contains(batch)));
}

#[test]
fn a_quarantine_that_is_full_stops_a_chain_until_there_is_room() {
    let mut world = recorded();
    let late = world.phones[0].spaces[&space(1)].own[0].id();
    world.log.verdicts.insert(late, Verdict::Refused(RefuseReason::QuarantineFull));
    let link = world.connect(0);
    world.run_for(60_000);
    let answers = world.links[link].answered.len();
    assert!(answers > 2, "it is offered again and again: {answers}");
    assert_eq!(world.links[link].progress.last().unwrap().held_back, 1);
    world.log.verdicts.clear();
    world.run_for(300_000);
    assert!(world.links[link].up_to_date > 0);
}

#[test]
fn a_revoked_device_gets_control_batches_alone_and_what_it_sends_is_taken() {
    let mut world = recorded();
    sync(&mut world, 1);
    let statement = world.phones[1].state(space(1));
    world.phones[1].record(space(1), Lane::Normal, 100);
    sync(&mut world, 1);
    world.log.revoked.insert(world.phones[0].identity.device());
    let link = world.connect(0);
    world.run_for(2_000);
    assert_eq!(world.links[link].revoked, [space(1), space(2)]);
    let held: Vec<_> = world.phones[0].spaces[&space(1)].held.keys().copied().collect();
    assert_eq!(held, [statement]);
    assert!(world.phones[0].spaces[&space(2)].held.is_empty());
    assert_eq!(world.phones[0].unsent(), 0);
    assert_eq!(world.phones[0].spaces[&space(1)].cursor.unwrap().offset, 10);
    assert!(world.links[link].up_to_date > 0);
}

#[test]
fn a_device_hears_how_far_the_relays_newest_backup_goes() {
    let mut world = recorded();
    sync(&mut world, 0);
    assert_eq!(world.phones[0].spaces[&space(1)].watermark, 0);
    world.log.watermark = 3;
    sync(&mut world, 0);
    assert_eq!(world.phones[0].spaces[&space(1)].watermark, 3);
}

#[test]
fn what_is_carried_for_others_goes_up_once_the_log_was_read_and_only_what_it_lacks() {
    let mut world = World::new(3, &[space(1)]);
    for len in [100, 200] {
        world.phones[1].record(space(1), Lane::Normal, len);
    }
    let met = world.phones[1].spaces[&space(1)].own.clone();
    // One of the two reaches the relay by itself; both were handed over in the desert.
    world.phones[1].spaces.get_mut(&space(1)).unwrap().own.truncate(1);
    sync(&mut world, 1);
    world.phones[1].spaces.get_mut(&space(1)).unwrap().own = met.clone();
    let carrier = world.phones[0].spaces.get_mut(&space(1)).unwrap();
    carrier.held.extend(met.iter().map(|batch| (batch.id(), batch.clone())));
    carrier.carried.extend(met.iter().map(SealedBatch::id));
    sync(&mut world, 0);
    assert_eq!(world.log.repeated, 0, "what the relay had was seen in its log first");
    assert_eq!(world.log.batches(space(1)), met.iter().map(SealedBatch::id).collect());
    assert!(world.phones[0].spaces[&space(1)].carried.is_empty());
    // Its author learns from the heights that it has arrived.
    sync(&mut world, 1);
    assert_eq!((world.phones[1].unsent(), world.log.repeated), (0, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Record { phone: usize, space: u8, lane: Lane, len: usize },
    Connect(usize),
    Cut(usize),
    Deliver(usize),
    RollBack { space: u8, kept: usize },
    NewLog,
}

fn step() -> impl Strategy<Value = Step> {
    let lane = prop::sample::select(Lane::ALL.to_vec());
    prop_oneof![
        4 => (0..3usize, 1..3u8, lane, 1..6_000usize)
            .prop_map(|(phone, space, lane, len)| Step::Record { phone, space, lane, len }),
        3 => (0..3usize).prop_map(Step::Connect),
        2 => (0..3usize).prop_map(Step::Cut),
        6 => (1..30usize).prop_map(Step::Deliver),
        1 => (1..3u8, 0..10usize).prop_map(|(space, kept)| Step::RollBack { space, kept }),
        1 => Just(Step::NewLog),
    ]
}

fn take(world: &mut World, step: Step) {
    let of_phone = |world: &World, phone| world.links.iter().position(|link| link.phone == phone);
    match step {
        Step::Record { phone, space: number, lane, len } => {
            match of_phone(world, phone) {
                Some(link) => world.record(link, space(number), lane, len),
                None => world.phones[phone].record(space(number), lane, len),
            };
        }
        Step::Connect(phone) if of_phone(world, phone).is_none() => {
            world.connect(phone);
        }
        Step::Connect(_) => {}
        Step::Cut(phone) => of_phone(world, phone).into_iter().for_each(|link| world.cut(link)),
        Step::Deliver(count) => (0..count).for_each(|_| {
            world.deliver_one();
        }),
        Step::RollBack { space: number, kept } => {
            cut_all(world);
            world.log.roll_back(space(number), kept);
        }
        Step::NewLog => {
            cut_all(world);
            world.log = Log::new(world.log.id.as_bytes()[0] + 1);
        }
    }
}

fn cut_all(world: &mut World) {
    (0..world.links.len()).for_each(|_| world.cut(0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Three phones record, connect, are cut at any frame, and the relay loses its log or a part.
    #[test]
    fn whatever_happens_on_the_way_all_ends_are_equal_and_nothing_is_lost(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let spaces = [space(1), space(2)];
        let mut world = World::new(3, &spaces);
        steps.into_iter().for_each(|step| take(&mut world, step));
        cut_all(&mut world);
        // What any phone has is a claim on the log.
        for _ in 0..2 {
            (0..3).for_each(|phone| sync(&mut world, phone));
        }
        world.assert_equal(&spaces);
        for phone in &world.phones {
            for space in &spaces {
                let own = phone.spaces[space].own.len();
                prop_assert_eq!(phone.spaces[space].acknowledged.len(), own);
            }
        }
    }
}
