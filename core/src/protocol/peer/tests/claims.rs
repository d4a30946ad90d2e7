//! What an exchange promises to two honest devices.

use super::*;

const DONE: Option<CloseReason> = Some(CloseReason::Here(CloseCode::Done));

#[test]
fn two_devices_give_each_other_what_the_other_lacks_and_say_so() {
    let (one, two) = holdings();
    let mut pair = Pair::new(one, two);
    pair.run();
    assert_eq!((pair.joining.closed, pair.inviting.closed), (DONE, DONE));
    assert_eq!(pair.joining.holding.ids(), pair.inviting.holding.ids());
    let (one, two) = (pair.joining.session.report(), pair.inviting.session.report());
    assert!(one.is_complete && two.is_complete);
    assert_eq!((one.peer, two.peer), (Some(identity(2).device()), Some(identity(1).device())));
    assert_eq!((one.spaces, one.control_only), (2, 0));
    assert_eq!((one.given.taken, one.taken.taken), (7, 7), "{one:?}");
    assert_eq!((one.given, one.given_len, one.to_give), (two.taken, two.taken_len, two.to_take));
    assert_eq!((two.given, two.given_len, two.to_give), (one.taken, one.taken_len, one.to_take));
    assert_eq!((one.to_give, one.to_take), (7, 7));
}

#[test]
fn a_second_exchange_finds_nothing_to_give_and_is_short() {
    let (one, two) = holdings();
    let mut pair = Pair::new(one, two);
    pair.run();
    let (one, two) = (pair.joining.holding, pair.inviting.holding);
    let mut again = Pair::new(one, two);
    again.run();
    let report = again.joining.session.report();
    assert!(report.is_complete);
    assert_eq!((report.given.batches(), report.taken.batches()), (0, 0));
    assert!(again.carried_len < 1_500, "{} bytes", again.carried_len);
}

#[test]
fn control_goes_first_and_then_the_most_urgent_of_all_spaces() {
    let (one, two) = holdings();
    let mut pair = Pair::new(one, two);
    pair.run();
    let order = |end: &End| -> Vec<(bool, u8)> {
        let find = |id: &BatchId| end.holding.batches.values().flatten().find(|batch| batch.id() == *id);
        let place =
            |batch: &SealedBatch| (batch.header().kind != BatchKind::Control, batch.header().lane as u8);
        end.ingested.iter().map(|id| place(find(id).unwrap())).collect()
    };
    assert!(order(&pair.inviting).is_sorted() && order(&pair.joining).is_sorted());
    assert_eq!(order(&pair.joining)[..2], [(false, 0), (false, 0)]);
}

#[test]
fn an_exchange_cut_after_any_frame_loses_nothing_and_the_next_goes_on() {
    let (one, two) = holdings();
    let mut whole = Pair::new(one.clone(), two.clone());
    whole.run();
    for frames in 0..whole.carried {
        let mut pair = Pair::new(one.clone(), two.clone());
        pair.steps(frames);
        let before = [pair.joining.holding.ids().len(), pair.inviting.holding.ids().len()];
        let (one, two) = pair.cut();
        assert!(one.ids().len() >= before[0] && two.ids().len() >= before[1]);
        let mut again = Pair::new(one, two);
        again.run();
        assert_eq!(again.joining.holding.ids(), whole.joining.holding.ids(), "cut after {frames}");
        assert_eq!(again.inviting.holding.ids(), whole.joining.holding.ids(), "cut after {frames}");
        assert!(again.joining.session.report().is_complete);
    }
}

#[test]
fn only_spaces_that_both_have_are_spoken_of() {
    let (one, two) = holdings();
    let mut pair = Pair::with(one, vec![space(1), space(7)], two, vec![space(8), space(2), space(1)]);
    pair.run();
    assert_eq!(pair.joining.session.report().spaces, 1);
    assert!(pair.joining.session.report().is_complete && pair.inviting.session.report().is_complete);
    assert_eq!(pair.joining.holding.heights(space(1), false), pair.inviting.holding.heights(space(1), false));
    assert_eq!(pair.joining.holding.heights(space(2), false).len(), 1, "of another space nothing came");
}

#[test]
fn devices_without_a_common_space_end_in_good_order() {
    let (one, two) = holdings();
    let mut pair = Pair::with(one, vec![space(7)], two, vec![space(8)]);
    pair.run();
    assert_eq!((pair.joining.closed, pair.inviting.closed), (DONE, DONE));
    assert!(pair.joining.session.report().is_complete);
}

/// The inviting device knows that the other was revoked; the other does not, yet.
#[test]
fn a_revoked_device_gets_control_batches_alone_and_gives_what_it_has() {
    let (mut one, mut two) = holdings();
    two.members.retain(|member| *member != identity(1).device());
    // Both hold a chain of a third, the revoked one less of it; and one that it does not hold at all.
    one.chain(5, space(1), Lane::Normal, 2, 50);
    two.chain(5, space(1), Lane::Normal, 4, 50);
    two.chain(6, space(1), Lane::Normal, 2, 50);
    let before = one.ids().len();
    let mut pair = Pair::new(one, two);
    pair.run();
    assert_eq!((pair.joining.closed, pair.inviting.closed), (DONE, DONE));
    let (one, two) = (&pair.joining, &pair.inviting);
    assert_eq!(one.holding.ids().len(), before + 2, "the two control batches that it lacked");
    let report = two.session.report();
    assert_eq!((report.control_only, report.given.batches()), (2, 2));
    assert!(one.holding.ids().iter().all(|id| two.holding.ids().contains(id)), "everything of it was taken");
    assert_eq!(report.taken.batches(), 7, "and nothing that was held already came again");
}

#[test]
fn a_device_that_is_not_known_yet_is_given_everything_once_its_control_batches_are_here() {
    let (mut one, mut two) = holdings();
    // Neither knows the other; the control batches that the inviting one has say who the joining one is.
    one.members.clear();
    two.members = vec![identity(1).device()];
    one.admits = Some(identity(2).device());
    let mut pair = Pair::new(one, two);
    pair.run();
    assert_eq!(pair.joining.holding.ids(), pair.inviting.holding.ids());
}

#[test]
fn two_devices_that_know_nothing_of_each_other_exchange_control_batches_alone() {
    let (mut one, mut two) = holdings();
    one.members.clear();
    two.members.clear();
    let mut pair = Pair::new(one, two);
    pair.run();
    assert_eq!((pair.joining.closed, pair.inviting.closed), (DONE, DONE));
    assert_eq!(pair.joining.ingested.len(), 2);
    assert_eq!(pair.inviting.ingested.len(), 0);
}

#[test]
fn what_is_on_its_way_never_exceeds_the_window_however_much_is_held() {
    let (mut one, mut two) = holdings();
    one.chain(1, space(1), Lane::Bulk, 40, 60_000);
    two.chain(2, space(1), Lane::Bulk, 40, 60_000);
    let mut pair = Pair::new(one, two);
    let mut most = 0;
    while pair.step() {
        let waiting = |end: &End| end.sent.iter().map(Vec::len).sum::<usize>();
        most = most.max(waiting(&pair.joining)).max(waiting(&pair.inviting));
    }
    assert!(pair.joining.session.report().is_complete);
    assert_eq!(pair.joining.holding.ids(), pair.inviting.holding.ids());
    assert!(most < crate::limits::PEER_WINDOW_LEN + 100_000, "{most} bytes");
    assert!(most > crate::limits::PEER_WINDOW_LEN / 2, "and the window is used: {most} bytes");
}

#[test]
fn a_cancelled_exchange_tells_the_other_end_and_keeps_what_came() {
    let (one, two) = holdings();
    let mut pair = Pair::new(one, two);
    pair.steps(16);
    pair.joining.handle(PeerInput::Cancel);
    pair.run();
    assert_eq!(pair.joining.closed, DONE);
    assert_eq!(pair.inviting.closed, Some(CloseReason::There(CloseCode::Done)));
    assert!(!pair.joining.session.report().is_complete && !pair.inviting.session.report().is_complete);
}

#[test]
fn silence_ends_an_exchange_by_the_clock() {
    let (one, two) = holdings();
    let mut pair = Pair::new(one, two);
    pair.joining.session.handle(PeerInput::Tick, at(HANDSHAKE_MS_MAX - 1));
    assert!(pair.joining.session.poll_output().is_none());
    pair.joining.session.handle(PeerInput::Tick, at(HANDSHAKE_MS_MAX));
    pair.joining.perform();
    assert_eq!(pair.joining.closed, Some(CloseReason::Here(CloseCode::HandshakeTimeout)));
    let (one, two) = holdings();
    let mut pair = Pair::new(one, two);
    pair.steps(6);
    pair.inviting.session.handle(PeerInput::Tick, at(LINK_IDLE_MS_MAX + 1));
    pair.inviting.perform();
    assert_eq!(pair.inviting.closed, Some(CloseReason::Here(CloseCode::Idle)));
}
