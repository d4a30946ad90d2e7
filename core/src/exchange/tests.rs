//! Two real stores over real streams: sockets, pipes, and pipes that are cut.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::fixture::{Party, World};
use super::stream::{read_frame, write_frame};
use super::*;
use crate::batch::SealedBatch;
use crate::id::RecordId;
use crate::pairing::Invitation;
use crate::protocol::CloseCode;

type Outcome = Result<PeerReport, ExchangeError>;

fn invite(world: &World, party: &Party) -> Arc<Invitation> {
    Arc::new(Invitation::new(party.id(), [7; 16], (world.clock())()))
}

/// Lets two devices exchange, the first of which joins the second, over these streams.
fn run<R, W>(
    world: &World,
    (joining, inviting): (&Party, &Party),
    (one, other): ((R, W), (R, W)),
) -> (Outcome, Outcome)
where
    R: Read + Send + 'static,
    W: Write + Send + 'static,
{
    let invitation = invite(world, inviting);
    let code = invitation.code().clone();
    let clock = world.clock();
    let drive = |party: &Party, role, streams| {
        exchange(&party.store, Arc::clone(&party.identity), role, &clock, streams, &Cancel::new(), |_| {})
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| drive(inviting, PeerRole::Inviting(invitation), other));
        let one = drive(joining, PeerRole::Joining(code), one);
        (one, other.join().unwrap())
    })
}

fn sockets() -> [(TcpStream, TcpStream); 2] {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    [one, other].map(|stream| (stream.try_clone().unwrap(), stream))
}

type Pipe = (Box<dyn Read + Send>, Box<dyn Write + Send>);

/// Two ends over pipes, each of which may break after so many bytes.
fn pipes(lens: [usize; 2]) -> (Pipe, Pipe) {
    let [(there_read, there), (back_read, back)] = [io::pipe().unwrap(), io::pipe().unwrap()];
    let cut = |pipe, len| Box::new(CutAfter { pipe: Some(pipe), left: len });
    ((Box::new(back_read), cut(there, lens[0])), (Box::new(there_read), cut(back, lens[1])))
}

/// A writer that breaks, and its other end with it.
struct CutAfter {
    pipe: Option<io::PipeWriter>,
    left: usize,
}

impl Write for CutAfter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.pipe = None;
        }
        let pipe = self.pipe.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let len = pipe.write(&bytes[..bytes.len().min(self.left)])?;
        self.left -= len;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.as_mut().map_or(Ok(()), Write::flush)
    }
}

#[test]
fn two_stores_exchange_over_a_socket_and_are_equal() {
    let (world, one, two) = World::pair();
    one.records(300);
    two.records(200);
    let shared = one.record("one");
    let [socket, other] = sockets();
    let (first, second) = run(&world, (&one, &two), (socket, other));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.is_complete && second.is_complete);
    assert_eq!((first.given, first.taken), (second.taken, second.given));
    assert_eq!(first.given.batches(), first.given.taken);
    assert_eq!((first.peer, second.peer), (Some(two.id()), Some(one.id())));
    assert!(two.holds(shared));
    assert_eq!(one.digest(), two.digest());
    assert_eq!(one.batches(), two.batches());
    assert!(first.given_len > 150_000 && second.given_len > 100_000, "both directions had much to say");
}

#[test]
fn two_stores_exchange_over_pipes_that_hold_far_less_than_either_has_to_say() {
    let (world, one, two) = World::pair();
    one.records(250);
    two.records(250);
    let (there, back) = pipes([usize::MAX; 2]);
    let (first, second) = run(&world, (&one, &two), (there, back));
    assert!(first.unwrap().is_complete && second.unwrap().is_complete);
    assert_eq!(one.digest(), two.digest());
}

/// Bytes that each end writes of a small exchange.
fn small_world() -> (World, Party, Party) {
    let (world, one, two) = World::pair();
    one.record("وادي");
    two.record("well");
    (world, one, two)
}

/// The streams of a whole exchange, driven in one thread: what each end writes.
fn transcript(world: &World, one: &Party, two: &Party) -> [Vec<u8>; 2] {
    let invitation = invite(world, two);
    let role = PeerRole::Joining(invitation.code().clone());
    let now = (world.clock())();
    let begin = |party: &Party, role, ephemeral| {
        PeerLink::begin(&party.store, Arc::clone(&party.identity), role, ephemeral, now).unwrap()
    };
    let mut links = [begin(one, role, [1; 32]), begin(two, PeerRole::Inviting(invitation), [2; 32])];
    let mut streams = [Vec::new(), Vec::new()];
    let mut is_moving = true;
    while is_moving {
        is_moving = false;
        for end in [0, 1] {
            while let Some(frame) = links[end].next_frame() {
                write_frame(&mut streams[end], &frame).unwrap();
                links[1 - end].handle(PeerLinkInput::Frame(frame), now).unwrap();
                is_moving = true;
            }
        }
    }
    assert!(links.iter().all(|link| link.report().is_complete));
    streams
}

#[test]
fn an_exchange_over_pipes_cut_at_any_byte_loses_nothing_and_the_next_ends_it() {
    let (world, one, two) = small_world();
    let lens = transcript(&world, &one, &two).map(|stream| stream.len());
    assert_eq!(one.batches().len(), 5, "three control batches and one of each device");
    for direction in [0, 1] {
        for cut in 0..lens[direction] {
            let (world, one, two) = small_world();
            let mut at = [usize::MAX; 2];
            at[direction] = cut;
            let (there, back) = pipes(at);
            let (first, second) = run(&world, (&one, &two), (there, back));
            assert!(first.is_err() || second.is_err(), "cut at {cut} of {lens:?}");
            assert!(one.batches().len() >= 4 && two.batches().len() >= 4, "nothing is lost");
            let (there, back) = pipes([usize::MAX; 2]);
            let (first, second) = run(&world, (&one, &two), (there, back));
            assert!(first.unwrap().is_complete && second.unwrap().is_complete, "after a cut at {cut}");
            assert_eq!((one.batches().len(), one.batches()), (5, two.batches()));
            assert_eq!(one.digest(), two.digest());
        }
    }
}

#[test]
fn a_stream_that_ends_in_the_middle_of_a_frame_gives_the_frames_before_it_alone() {
    let mut stream = Vec::new();
    write_frame(&mut stream, b"one").unwrap();
    write_frame(&mut stream, b"another").unwrap();
    for cut in 0..stream.len() {
        let mut read = Cursor::new(&stream[..cut]);
        let frames: Vec<_> = std::iter::from_fn(|| read_frame(&mut read).ok().flatten()).collect();
        let expected = usize::from(cut >= 5) + usize::from(cut >= 14);
        assert_eq!(frames.len(), expected, "cut at {cut}");
    }
}

#[test]
fn a_revoked_device_gets_the_revoke_and_gives_its_work_which_stands_nowhere() {
    let mut world = World::new();
    world.admit(1);
    world.admit(2);
    world.revoke(1);
    // The revoked device has been away since it was admitted.
    let (one, two) = (world.party(1, 3), world.party(2, 4));
    let late = one.record("late");
    let news = two.record("news");
    let (there, back) = pipes([usize::MAX; 2]);
    let (first, second) = run(&world, (&one, &two), (there, back));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.is_complete && second.is_complete);
    assert_eq!(second.control_only, 1);
    assert_eq!((second.given.batches(), second.given.taken), (1, 1), "the revoke, and nothing else");
    assert!(!one.holds(news));
    assert!(one.store.membership(one.space).unwrap().is_revoked(one.id()), "it knows now");
    assert!(one.holds(late), "and keeps its own work");
    assert_eq!((second.taken.quarantined, second.taken.taken), (1, 0));
    assert!(!two.holds(late));
}

#[test]
fn a_revoke_that_is_held_ahead_of_what_it_follows_is_given_too() {
    let mut world = World::new();
    world.admit(1);
    world.admit(2);
    world.revoke(1);
    let (one, two) = (world.party(1, 3), world.party(2, 1));
    two.store.ingest_carried(two.space, &world.control[3..]).unwrap();
    let (there, back) = pipes([usize::MAX; 2]);
    let (first, second) = run(&world, (&one, &two), (there, back));
    assert!(first.unwrap().is_complete && second.unwrap().is_complete);
    for party in [&one, &two] {
        assert!(party.store.membership(world.space).unwrap().is_revoked(one.id()));
    }
    assert_eq!(one.batches(), two.batches());
}

#[test]
fn late_work_that_is_adopted_is_offered_to_the_relay_again_by_whoever_carries_it() {
    let mut world = World::new();
    world.admit(1);
    world.admit(2);
    let (one, two) = (world.party(1, 3), world.party(2, 3));
    world.revoke(1);
    let record = one.record("late");
    let (late, _) = one.store.outgoing(&[], &[], usize::MAX).unwrap();
    two.store.ingest_carried(world.space, &world.control[3..]).unwrap();
    two.store.ingest_carried(world.space, &late).unwrap();
    let space = world.space;
    let is_offered = || {
        let (offered, _) = two.store.outgoing(&[], &[space], usize::MAX).unwrap();
        offered.iter().any(|batch| batch.id() == late[0].id())
    };
    assert!(is_offered());
    two.store.set_quarantined_there(late[0].id()).unwrap();
    assert!(!is_offered());
    // The relay may have deleted it by then, because it was discarded first.
    world.adopt(&late[0]);
    two.store.ingest_carried(two.space, &world.control[4..]).unwrap();
    assert!(two.holds(record) && is_offered());
}

#[test]
fn devices_that_were_admitted_after_the_other_was_last_in_range_learn_of_each_other() {
    let mut world = World::new();
    world.admit(1);
    world.admit(2);
    world.admit(3);
    // The second has seen only its own admission, the third everything.
    let (two, three) = (world.party(2, 3), world.party(3, 4));
    let (mine, theirs) = (two.record("two"), three.record("three"));
    let (there, back) = pipes([usize::MAX; 2]);
    let (first, second) = run(&world, (&two, &three), (there, back));
    assert!(first.unwrap().is_complete && second.unwrap().is_complete);
    assert!(two.holds(theirs) && three.holds(mine));
    assert_eq!(two.digest(), three.digest());
}

#[test]
fn what_was_carried_is_given_on_by_who_did_not_write_it() {
    let mut world = World::new();
    (1..=3).for_each(|seed| world.admit(seed));
    let [one, two, three] = [1, 2, 3].map(|seed| world.party(seed, 4));
    let record = one.record("far");
    for (from, to) in [(&one, &two), (&two, &three)] {
        let (there, back) = pipes([usize::MAX; 2]);
        let (first, _) = run(&world, (from, to), (there, back));
        assert!(first.unwrap().is_complete);
    }
    assert!(three.holds(record));
    assert_eq!(one.digest(), three.digest());
}

/// What one phone and its copy wrote under one name: the branch that stands, and a longer one with the record
/// that it ends in.
fn branches(world: &World) -> (Vec<SealedBatch>, Vec<SealedBatch>, RecordId) {
    let sealed = |titles: &[String]| {
        let copy = world.party(1, 4);
        let mut last = None;
        for title in titles {
            last = Some(copy.record(title));
            copy.store.seal_pending(world.space).unwrap();
        }
        (copy.store.batches_above(world.space, &[], false, usize::MAX).unwrap().0.split_off(4), last.unwrap())
    };
    let (long, record) = sealed(&["long".to_owned(), "longer".to_owned()]);
    let mut shorts = (0..).map(|n| sealed(&[format!("short {n}")]).0);
    (shorts.find(|short| short[0].id() < long[0].id()).unwrap(), long, record)
}

fn three_phones() -> (World, Party, Party) {
    let mut world = World::new();
    (1..=3).for_each(|seed| world.admit(seed));
    let (two, three) = (world.party(2, 4), world.party(3, 4));
    (world, two, three)
}

fn meet_and_be_equal(world: &World, two: &Party, three: &Party) {
    let (there, back) = pipes([usize::MAX; 2]);
    let (first, second) = run(world, (two, three), (there, back));
    assert!(first.unwrap().is_complete && second.unwrap().is_complete);
    // Nobody has anything left to say.
    for party in [two, three] {
        party.store.seal_pending(world.space).unwrap();
    }
    assert_eq!(two.batches(), three.batches());
    assert_eq!(two.digest(), three.digest());
}

#[test]
fn a_longer_branch_that_falls_at_a_meeting_is_answered_with_the_one_that_stands() {
    let (world, two, three) = three_phones();
    let (short, long, _) = branches(&world);
    two.store.ingest_carried(world.space, &short).unwrap();
    three.store.ingest_carried(world.space, &long).unwrap();
    meet_and_be_equal(&world, &two, &three);
}

#[test]
fn an_edit_of_what_falls_at_a_meeting_stands_on_both_sides_after_it() {
    let (world, two, three) = three_phones();
    let (short, long, record) = branches(&world);
    two.store.ingest_carried(world.space, &long).unwrap();
    let edit = BTreeMap::from([("title".to_owned(), Some("edited".into()))]);
    two.store.write(|group| group.patch(world.space, "event", record, edit)).unwrap();
    two.store.seal_pending(world.space).unwrap();
    three.store.ingest_carried(world.space, &short).unwrap();
    meet_and_be_equal(&world, &two, &three);
    assert!(two.holds(record) && three.holds(record), "what the edit builds on stands with it");
}

#[test]
fn a_device_with_another_code_is_turned_away_and_learns_nothing() {
    let (world, one, two) = small_world();
    let clock = world.clock();
    let (shown, read) = (invite(&world, &two), Invitation::new(two.id(), [8; 16], clock()));
    let (there, back) = pipes([usize::MAX; 2]);
    let (first, second) = std::thread::scope(|scope| {
        let drive = |party: &Party, role, streams| {
            exchange(&party.store, Arc::clone(&party.identity), role, &clock, streams, &Cancel::new(), |_| {})
        };
        let second = scope.spawn(move || drive(&two, PeerRole::Inviting(shown), back));
        (drive(&one, PeerRole::Joining(read.code().clone()), there), second.join().unwrap())
    });
    let closed = |outcome: Outcome| match outcome {
        Err(ExchangeError::Closed { reason, report }) => (reason, *report),
        other => panic!("{other:?}"),
    };
    let nothing = PeerReport::default();
    assert_eq!(closed(first), (CloseReason::Cut, nothing));
    assert_eq!(closed(second), (CloseReason::Here(CloseCode::Impersonation), nothing));
    assert_eq!(one.batches().len(), 4, "three control batches and its own");
}

#[test]
fn an_exchange_that_is_cancelled_ends_at_once_on_both_sides() {
    let (world, one, two) = World::pair();
    one.records(1_200);
    let invitation = invite(&world, &two);
    let code = invitation.code().clone();
    let clock = world.clock();
    let (there, back) = pipes([usize::MAX; 2]);
    let cancel = Cancel::new();
    let (first, second) = std::thread::scope(|scope| {
        let inviting = scope.spawn(|| {
            let identity = Arc::clone(&two.identity);
            let role = PeerRole::Inviting(invitation);
            exchange(&two.store, identity, role, &clock, back, &cancel, |report| {
                if report.taken.batches() > 0 {
                    cancel.cancel();
                }
            })
        });
        let identity = Arc::clone(&one.identity);
        let role = PeerRole::Joining(code);
        let first = exchange(&one.store, identity, role, &clock, there, &Cancel::new(), |_| {});
        (first, inviting.join().unwrap())
    });
    assert!(matches!(second, Err(ExchangeError::Closed { reason: CloseReason::Here(CloseCode::Done), .. })));
    assert!(matches!(first, Err(ExchangeError::Closed { reason: CloseReason::There(CloseCode::Done), .. })));
    let (there, back) = pipes([usize::MAX; 2]);
    let (first, _) = run(&world, (&one, &two), (there, back));
    assert!(first.unwrap().is_complete);
    assert_eq!(one.digest(), two.digest());
}
