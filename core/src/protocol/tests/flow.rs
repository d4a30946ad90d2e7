//! What is on its way, what waits, and for how long.

use super::super::message::{Message, SpaceState};
use super::super::{
    CloseCode, CloseReason, DeviceInput, DeviceOutput, DeviceSession, RelayInput, RelayOutput, RelaySession,
};
use super::world::{Phone, World, at, space};
use crate::batch::Lane;
use crate::clock::Timestamp;
use crate::id::{LogDigest, LogId};
use crate::limits::{
    LINK_IDLE_MS_MAX, LINK_PING_MS, RELAY_READ_LEN_MAX, UNTAKEN_LEN_MAX, WINDOW_LEN_INITIAL, WINDOW_LEN_MAX,
};
use crate::position::QuarantineDigest;

const SLOW: i64 = 64_000 / 8;

/// Bytes on their way upwards at this moment: pushed, and not answered.
fn in_flight_len(world: &World, link: usize) -> usize {
    let phone = &world.phones[world.links[link].phone];
    let all = phone.spaces.values().flat_map(|replica| &replica.own);
    let unanswered = all.filter(|batch| {
        phone.offered.contains(&batch.id())
            && !world.links[link].acknowledged.iter().any(|(id, _)| *id == batch.id())
    });
    unanswered.map(|batch| batch.as_bytes().len()).sum()
}

#[test]
fn an_urgent_batch_overtakes_two_thousand_records_on_a_slow_link() {
    let mut world = World::new(1, &[space(1)]);
    world.bytes_a_second = Some(SLOW);
    // Eighty batches of 25 records each, half a megabyte: a minute of the link.
    for _ in 0..80 {
        world.phones[0].record(space(1), Lane::Normal, 6_000);
    }
    let link = world.connect(0);
    for seconds in [3, 10, 20] {
        world.run_for(seconds * 1_000);
        let began = world.now;
        // It may leave at once.
        let pushed_before = world.links[link].up.sent.len();
        let sos = world.record(link, space(1), Lane::Urgent, 300);
        world.run_for(5_000);
        let mut after =
            world.links[link].up.sent[pushed_before..].iter().filter_map(|f| Message::decode(f).ok());
        let next = after.find(|message| matches!(message, Message::Push { .. })).unwrap();
        assert!(matches!(next, Message::Push { ref batch, .. } if batch.len() < 1_000), "{next:?}");
        let (_, acknowledged) = world.links[link].acknowledged.iter().find(|(id, _)| *id == sos).unwrap();
        let waited_ms = acknowledged.millis_since(began);
        println!("an SOS {seconds} s later is acknowledged after {waited_ms} ms");
        assert!(waited_ms <= 3_000);
    }
}

#[test]
fn on_a_slow_link_one_batch_is_on_its_way_and_on_a_fast_one_many() {
    let mut lens = Vec::new();
    for bytes_a_second in [SLOW, 2_000_000] {
        let mut world = World::new(1, &[space(1)]);
        world.bytes_a_second = Some(bytes_a_second);
        for _ in 0..300 {
            world.phones[0].record(space(1), Lane::Normal, 20_000);
        }
        let link = world.connect(0);
        let mut len_max = 0;
        for step in 0..300 {
            world.run_for(200);
            len_max = if step < 50 { 0 } else { len_max.max(in_flight_len(&world, link)) };
            if step == 100 && bytes_a_second == SLOW {
                break;
            }
        }
        lens.push(len_max);
    }
    assert!(lens[0] <= 21_000, "one batch of 20 kB: {lens:?}");
    assert!(lens[1] == 0 || lens[1] > 200_000, "{lens:?}");
}

#[test]
fn an_acknowledgement_does_not_wait_behind_a_long_download() {
    let mut world = World::new(2, &[space(1)]);
    for _ in 0..100 {
        world.phones[0].record(space(1), Lane::Normal, 6_000);
    }
    let link = world.connect(0);
    world.run_until_quiet();
    world.cut(link);
    world.bytes_a_second = Some(SLOW);
    let link = world.connect(1);
    for _ in 0..4 {
        world.run_for(7_000);
        let began = world.now;
        let sos = world.record(link, space(1), Lane::Urgent, 300);
        world.run_for(5_000);
        let (_, acknowledged) = world.links[link].acknowledged.iter().find(|(id, _)| *id == sos).unwrap();
        let waited_ms = acknowledged.millis_since(began);
        println!("while a download runs, an SOS is acknowledged after {waited_ms} ms");
        assert!(waited_ms <= 3_000);
    }
}

#[test]
fn a_phone_that_cannot_store_gets_no_more_than_the_window() {
    let mut world = World::new(2, &[space(1)]);
    for _ in 0..200 {
        world.phones[0].record(space(1), Lane::Normal, 100_000);
    }
    let link = world.connect(0);
    world.run_until_quiet();
    world.cut(link);
    let link = world.connect(1);
    // Fast at first, so that the window grows; then nothing is stored any more.
    for _ in 0..60 {
        world.deliver_one();
    }
    world.links[link].stalled = true;
    let before = world.links[link].down.bytes();
    world.run_until_quiet();
    let sent = world.links[link].down.bytes() - before;
    assert!(sent <= WINDOW_LEN_MAX + RELAY_READ_LEN_MAX, "{sent}");
    assert!(world.links[link].down.bytes() < world.links[link].progress[0].down.len_total.unwrap() as usize);
    let reads = world.log.reads;
    world.tell_relay(link, RelayInput::News { space: space(1), head: 1_000_000 });
    world.run_until_quiet();
    assert_eq!(world.log.reads, reads, "nothing is read that cannot be sent");
    world.links[link].stalled = false;
    world.tell_device(link, DeviceInput::Ingested { space: space(1) });
    world.run_until_quiet();
    world.assert_equal(&[space(1)]);
}

#[test]
fn batches_that_arrive_together_are_stored_together() {
    let mut world = World::new(2, &[space(1)]);
    for _ in 0..200 {
        world.phones[0].record(space(1), Lane::Normal, 2_000);
    }
    let link = world.connect(0);
    world.run_until_quiet();
    world.cut(link);
    world.connect(1);
    world.run_until_quiet();
    world.assert_equal(&[space(1)]);
    let commits = world.phones[1].spaces[&space(1)].commits;
    assert!(commits <= 40, "{commits} commits for 200 batches");
}

#[test]
fn an_idle_link_lives_by_pings_and_dies_without_them() {
    let mut world = World::new(1, &[space(1)]);
    let link = world.connect(0);
    world.run_for(600_000);
    assert_eq!(world.links[link].device_closed, None);
    assert_eq!(world.links[link].relay_closed, None);
    let pings = world.links[link].up.sent.iter().filter(|frame| frame[0] == 0x20).count() as i64;
    assert!((600_000 / LINK_PING_MS - 2..=600_000 / LINK_PING_MS).contains(&pings), "{pings}");
    // Each end alone: the other's frames no longer arrive.
    let now = world.now;
    let link = &mut world.links[link];
    let reasons = [tick_device(&mut link.device, now), tick_relay(&mut link.relay, now)];
    assert_eq!(reasons, [Some(CloseReason::Here(CloseCode::Idle)); 2]);
}

/// Ticks whenever asked to, and a little too late; the reason that it ends with.
fn tick_device(session: &mut DeviceSession, mut now: Timestamp) -> Option<CloseReason> {
    let end = now.plus_millis(LINK_IDLE_MS_MAX + 2_000);
    now = now.plus_millis(LINK_PING_MS);
    while now < end {
        session.handle(DeviceInput::Tick, now);
        let mut wake = None;
        while let Some(output) = session.poll_output() {
            match output {
                DeviceOutput::WakeAt(time) => wake = Some(time),
                DeviceOutput::Closed(reason) => return Some(reason),
                _ => {}
            }
        }
        now = wake.unwrap_or(end).plus_millis(1);
    }
    None
}

fn tick_relay(session: &mut RelaySession, mut now: Timestamp) -> Option<CloseReason> {
    let end = now.plus_millis(LINK_IDLE_MS_MAX + 2_000);
    now = now.plus_millis(LINK_PING_MS);
    while now < end {
        session.handle(RelayInput::Tick, now);
        let mut wake = None;
        while let Some(output) = session.poll_output() {
            match output {
                RelayOutput::WakeAt(time) => wake = Some(time),
                RelayOutput::Closed(reason) => return Some(reason),
                _ => {}
            }
        }
        now = wake.unwrap_or(end).plus_millis(1);
    }
    None
}

#[test]
fn a_handshake_that_does_not_end_is_ended_by_either_end() {
    let phone = Phone::new(1, &[space(1)]);
    let world = World::new(0, &[]);
    let mut device = phone.session(world.relay.device(), 1, at(0));
    device.handle(DeviceInput::Tick, at(14_999));
    assert!(std::iter::from_fn(|| device.poll_output()).all(|o| !matches!(o, DeviceOutput::Closed(_))));
    device.handle(DeviceInput::Tick, at(15_000));
    let timeout = CloseReason::Here(CloseCode::HandshakeTimeout);
    assert!(
        std::iter::from_fn(|| device.poll_output())
            .any(|o| matches!(o, DeviceOutput::Closed(reason) if reason == timeout))
    );
    let config = super::super::RelaySessionConfig { identity: world.relay.clone(), nonce: [1; 16] };
    let mut relay = RelaySession::new(config, at(0));
    relay.handle(RelayInput::Tick, at(15_000));
    assert!(
        std::iter::from_fn(|| relay.poll_output())
            .any(|o| matches!(o, RelayOutput::Closed(reason) if reason == timeout))
    );
}

#[test]
fn a_clock_that_is_set_back_or_leaps_ends_a_link_at_worst() {
    for leap in [-86_400_000, 86_400_000] {
        let mut world = World::new(1, &[space(1)]);
        let link = world.connect(0);
        world.run_until_quiet();
        world.now = world.now.plus_millis(leap);
        world.record(link, space(1), Lane::Normal, 10);
        world.run_until_quiet();
        assert_eq!(world.phones[0].unsent(), 0);
        assert_eq!(
            tick_device(&mut world.links[link].device, world.now),
            Some(CloseReason::Here(CloseCode::Idle))
        );
    }
}

/// A device session that is open, with nothing in the log yet.
fn open_device(phone: &Phone, world: &World) -> DeviceSession {
    let mut device = phone.session(world.relay.device(), 1, at(0));
    let config = super::super::RelaySessionConfig { identity: world.relay.clone(), nonce: [1; 16] };
    let mut relay = RelaySession::new(config, at(0));
    let Some(DeviceOutput::Send(hello)) = device.poll_output() else { panic!("no hello") };
    relay.handle(RelayInput::Frame(hello), at(0));
    while let Some(output) = relay.poll_output() {
        if let RelayOutput::Send(welcome) = output {
            device.handle(DeviceInput::Frame(welcome), at(0));
        }
    }
    let state = SpaceState::Open {
        log: Some(LogId::from_bytes([1; 16])),
        head: 0,
        len_after_cursor: 0,
        watermark: 0,
        is_revoked: false,
        quarantined: QuarantineDigest::default(),
        own: None,
    };
    device.handle(DeviceInput::Frame(Message::State(vec![state]).encode()), at(0));
    while device.poll_output().is_some() {}
    device
}

fn closed(device: &mut DeviceSession) -> Option<CloseReason> {
    std::iter::from_fn(|| device.poll_output()).find_map(|output| match output {
        DeviceOutput::Closed(reason) => Some(reason),
        _ => None,
    })
}

#[test]
fn a_relay_that_sends_without_end_is_left() {
    let world = World::new(0, &[]);
    let phone = Phone::new(1, &[space(1)]);
    let mut other = Phone::new(2, &[space(1)]);
    other.record(space(1), Lane::Normal, 200_000);
    let batch = other.spaces[&space(1)].own[0].as_bytes().to_vec();
    let mut device = open_device(&phone, &world);
    let fit = UNTAKEN_LEN_MAX / batch.len();
    for offset in 1..=fit as u64 + 1 {
        let frame =
            Message::Batch { space: 0, offset, digest: LogDigest::EMPTY, batch: batch.clone() }.encode();
        device.handle(DeviceInput::Frame(frame), at(0));
        let is_too_much = offset > fit as u64;
        // The first group is handed on and never stored.
        assert_eq!(closed(&mut device), is_too_much.then_some(CloseReason::Here(CloseCode::Overrun)));
    }
    let mut device = open_device(&phone, &world);
    device.handle(
        DeviceInput::Frame(Message::Batch { space: 0, offset: 1, digest: LogDigest::EMPTY, batch }.encode()),
        at(0),
    );
    let mut reason = None;
    for number in 0..2_000 {
        device.handle(DeviceInput::Frame(Message::Ping { number }.encode()), at(0));
        reason = reason.or(closed(&mut device));
    }
    assert_eq!(reason, Some(CloseReason::Here(CloseCode::Overrun)), "pings that cannot be answered yet");
}

#[test]
fn a_device_that_sends_without_end_is_left() {
    let mut phone = Phone::new(1, &[space(1)]);
    for _ in 0..40 {
        phone.record(space(1), Lane::Normal, 200_000);
    }
    let mut world = World::new(1, &[space(1)]);
    let link = world.connect(0);
    world.run_until_quiet();
    let relay = &mut world.links[link].relay;
    let mut appends = 0;
    let mut reason = None;
    for batch in &phone.spaces[&space(1)].own {
        let frame = Message::Push { space: 0, batch: batch.as_bytes().to_vec() }.encode();
        relay.handle(RelayInput::Frame(frame), at(0));
        while let Some(output) = relay.poll_output() {
            match output {
                RelayOutput::Append { .. } => appends += 1,
                RelayOutput::Closed(why) => reason = Some(why),
                _ => {}
            }
        }
    }
    assert_eq!(reason, Some(CloseReason::Here(CloseCode::Overrun)));
    assert_eq!(appends, UNTAKEN_LEN_MAX / phone.spaces[&space(1)].own[0].as_bytes().len());
}

#[test]
fn a_batch_of_a_later_version_is_kept_unread_and_the_cursor_moves_on() {
    let world = World::new(0, &[]);
    let phone = Phone::new(1, &[space(1)]);
    let mut other = Phone::new(2, &[space(1)]);
    other.record(space(1), Lane::Normal, 10);
    let mut later = other.spaces[&space(1)].own[0].as_bytes().to_vec();
    later[2] = 7;
    let mut device = open_device(&phone, &world);
    let digest = LogDigest::from_bytes([4; 16]);
    let message = Message::Batch { space: 0, offset: 4, digest, batch: later.clone() };
    device.handle(DeviceInput::Frame(message.encode()), at(0));
    device.handle(DeviceInput::Frame(Message::Ping { number: 1 }.encode()), at(0));
    let ingest = std::iter::from_fn(|| device.poll_output()).find_map(|output| match output {
        DeviceOutput::Ingest { batches, unread, cursor, .. } => Some((batches.len(), unread, cursor)),
        _ => None,
    });
    let (batches, unread, cursor) = ingest.unwrap();
    assert_eq!((batches, unread), (0, vec![(4, later.clone())]));
    assert_eq!((cursor.offset, cursor.digest), (4, digest));
}

#[test]
fn a_batch_that_the_relay_cannot_read_yet_stops_its_chain_and_not_the_link() {
    let mut world = World::new(1, &[space(1)]);
    let link = world.connect(0);
    world.run_until_quiet();
    let mut phone = Phone::new(1, &[space(1)]);
    phone.record(space(1), Lane::Normal, 10);
    let mut later = phone.spaces[&space(1)].own[0].as_bytes().to_vec();
    later[2] = 7;
    let relay = &mut world.links[link].relay;
    relay.handle(RelayInput::Frame(Message::Push { space: 0, batch: later.clone() }.encode()), at(0));
    let Some(RelayOutput::Send(frame)) = relay.poll_output() else { panic!("no answer") };
    let Ok(Message::Answer { batch, verdict }) = Message::decode(&frame) else { panic!("no answer") };
    assert_eq!(Some(batch), crate::batch::unread_id(&later));
    assert!(matches!(verdict, crate::control::Verdict::RetryLater(_)));
}

#[test]
fn the_spaces_of_a_link_take_turns() {
    let spaces: Vec<_> = (1..=3).map(space).collect();
    let mut world = World::new(2, &spaces);
    for space in &spaces {
        for _ in 0..20 {
            world.phones[0].record(*space, Lane::Normal, 9_000);
        }
    }
    let link = world.connect(0);
    world.run_until_quiet();
    world.cut(link);
    let link = world.connect(1);
    world.run_until_quiet();
    let mut order: Vec<u8> = world.links[link]
        .down
        .sent
        .iter()
        .filter_map(|frame| match Message::decode(frame) {
            Ok(Message::Batch { space, .. }) => Some(space),
            _ => None,
        })
        .collect();
    assert_eq!(order.len(), 60);
    order.dedup();
    assert_eq!(order[..4], [0, 1, 2, 0]);
    world.assert_equal(&spaces);
}

#[test]
fn a_read_that_brings_nothing_is_not_repeated() {
    let mut world = World::new(1, &[space(1)]);
    let link = world.connect(0);
    world.run_until_quiet();
    let relay = &mut world.links[link].relay;
    relay.handle(RelayInput::News { space: space(1), head: 9 }, at(0));
    let mut reads = 0;
    while let Some(output) = relay.poll_output() {
        if let RelayOutput::ReadLog { space, .. } = output {
            reads += 1;
            relay.handle(RelayInput::Read { space, batches: Vec::new(), reached: None }, at(0));
        }
    }
    assert_eq!(reads, 1);
}

#[test]
fn news_that_comes_while_a_read_finds_nothing_is_not_lost() {
    let mut world = World::new(1, &[space(1)]);
    let link = world.connect(0);
    world.run_until_quiet();
    let relay = &mut world.links[link].relay;
    let mut reads_after = |input| {
        relay.handle(input, at(0));
        std::iter::from_fn(|| relay.poll_output())
            .filter(|output| matches!(output, RelayOutput::ReadLog { .. }))
            .count()
    };
    assert_eq!(reads_after(RelayInput::News { space: space(1), head: 9 }), 1);
    assert_eq!(reads_after(RelayInput::News { space: space(1), head: 10 }), 0, "one read at a time");
    let nothing = RelayInput::Read { space: space(1), batches: Vec::new(), reached: None };
    assert_eq!(reads_after(nothing), 1);
}

#[test]
fn the_first_window_is_two_seconds_of_a_slow_link() {
    assert!(WINDOW_LEN_INITIAL as i64 <= 2_100 * SLOW / 1_000);
}
