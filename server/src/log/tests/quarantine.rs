//! What does not stand is kept, and nobody gets it until it is adopted.

use barid_core::control::{Cut, Discarded, adopt, discard, revoke_device};
use barid_core::position::QuarantineDigest;
use proptest::prelude::*;

use super::*;

impl World {
    pub(super) fn state(&mut self, statements: Vec<Vec<u8>>) {
        let own = OwnStatements { space: self.space, signer: Arc::clone(&self.organisation.key), statements };
        self.writer.transact(|append| append.statements(&own)).unwrap();
    }

    pub(super) fn revoke(&mut self, device: &Device, after: Option<&SealedBatch>) {
        let cut = after.into_iter().map(cut).collect();
        self.state(revoke_device(device.key.device(), "seized", cut).unwrap());
    }

    pub(super) fn adopt(&mut self, device: &Device, up_to: &SealedBatch) {
        self.state(adopt(device.key.device(), vec![cut(up_to)]).unwrap());
    }

    pub(super) fn discard(&mut self, device: &Device, up_to: &SealedBatch) {
        let Cut { incarnation, lane, seq, .. } = cut(up_to);
        self.state(discard(device.key.device(), vec![Discarded { incarnation, lane, seq }]).unwrap());
    }

    fn reader(&self) -> LogReader {
        LogReader::open(&self.path()).unwrap()
    }

    /// The entries batches that the log serves, each with its offset.
    fn served(&self) -> Vec<(u64, BatchId)> {
        let page = self.reader().read_after(self.space, 0, usize::MAX, None).unwrap();
        let entries = page.batches.iter().filter(|logged| logged.batch.header().kind == BatchKind::Entries);
        entries.map(|logged| (logged.offset, logged.batch.id())).collect()
    }

    fn served_ids(&self) -> Vec<BatchId> {
        self.served().into_iter().map(|(_, id)| id).collect()
    }

    fn aside(&self) -> Vec<(BatchId, QuarantineReason)> {
        let all = self.reader().quarantined(self.space).unwrap();
        all.into_iter().filter(|held| held.batch.is_some()).map(|held| (held.id, held.reason)).collect()
    }

    fn height(&self, device: &Device) -> Option<(u64, BatchId)> {
        let chains = self.reader().own_chains(self.space, device.key.device()).unwrap();
        chains.first().map(|chain| (chain.seq, chain.batch))
    }

    fn is_sound(&self) {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        let mut faults = Vec::new();
        crate::log::audit::audit(&connection, &mut faults).unwrap();
        assert!(faults.is_empty(), "{faults:?}");
    }
}

fn cut(batch: &SealedBatch) -> Cut {
    let header = batch.header();
    Cut { incarnation: header.incarnation, lane: header.lane, seq: header.seq, batch: batch.id() }
}

fn admitted(seed: u8) -> (World, Device) {
    let mut world = World::new();
    let device = Device::new(seed, world.space);
    world.admit(&device);
    (world, device)
}

const REVOKED: Outcome = Outcome::Quarantined(QuarantineReason::Revoked);

#[test]
fn what_a_revoked_device_wrote_beyond_the_cut_is_kept_and_served_to_nobody() {
    let (mut world, mut device) = admitted(1);
    let batches: Vec<_> = (1..=4).map(|content| device.seal(content)).collect();
    batches[..2].iter().for_each(|batch| assert!(matches!(world.append(batch), Outcome::Appended { .. })));
    world.revoke(&device, Some(&batches[1]));
    let head = world.reader().head(world.space).unwrap();
    assert_eq!((world.append(&batches[2]), world.append(&batches[3])), (REVOKED, REVOKED));
    assert_eq!(world.append(&batches[2]), REVOKED, "it was held");
    assert_eq!(world.reader().head(world.space).unwrap(), head, "no offset is given out");
    assert_eq!(world.served_ids(), [batches[0].id(), batches[1].id()]);
    assert_eq!(world.aside(), [batches[2].id(), batches[3].id()].map(|id| (id, QuarantineReason::Revoked)));
    assert_eq!(world.height(&device), Some((2, batches[1].id())));
    let digest = QuarantineDigest::of([batches[2].id(), batches[3].id()]);
    assert_eq!(world.reader().quarantined_of(world.space, device.key.device()).unwrap(), digest);
    world.is_sound();
}

#[test]
fn a_cut_below_what_the_log_holds_takes_what_is_beyond_it_out_of_the_log() {
    let (mut world, mut device) = admitted(1);
    let batches: Vec<_> = (1..=4).map(|content| device.seal(content)).collect();
    batches.iter().for_each(|batch| assert!(matches!(world.append(batch), Outcome::Appended { .. })));
    let digest = world.reader().digest_at(world.space, 6).unwrap();
    world.revoke(&device, Some(&batches[1]));
    assert_eq!(world.served_ids(), [batches[0].id(), batches[1].id()]);
    assert_eq!(world.aside().len(), 2);
    assert_eq!(world.height(&device), Some((2, batches[1].id())));
    assert_eq!(world.reader().digest_at(world.space, 6).unwrap(), digest, "cursors hold");
    assert_eq!(world.append(&batches[3]), REVOKED);
    world.is_sound();
}

#[test]
fn what_is_adopted_is_appended_at_new_offsets_and_a_discard_lets_the_bytes_go() {
    let (mut world, mut device) = admitted(1);
    let batches: Vec<_> = (1..=4).map(|content| device.seal(content)).collect();
    batches.iter().for_each(|batch| assert!(matches!(world.append(batch), Outcome::Appended { .. })));
    world.revoke(&device, None);
    assert_eq!((world.served_ids(), world.height(&device)), (Vec::new(), None));
    world.adopt(&device, &batches[1]);
    let head = world.reader().head(world.space).unwrap();
    assert_eq!(world.served(), [(head - 1, batches[0].id()), (head, batches[1].id())]);
    assert_eq!(world.height(&device), Some((2, batches[1].id())));
    world.discard(&device, &batches[3]);
    assert_eq!(world.aside(), []);
    let page = world.reader().quarantined(world.space).unwrap();
    assert_eq!(page.iter().map(|held| held.id).collect::<Vec<_>>(), [batches[2].id(), batches[3].id()]);
    assert_eq!(world.append(&batches[2]), REVOKED, "it is not asked for again");
    assert_eq!(world.served_ids().len(), 2);
    // An adopt wins over a discard, but its bytes have to come again.
    world.adopt(&device, &batches[3]);
    assert!(matches!(world.append(&batches[2]), Outcome::Appended { .. }));
    assert!(matches!(world.append(&batches[3]), Outcome::Appended { .. }));
    assert_eq!(world.height(&device), Some((4, batches[3].id())));
    world.is_sound();
}

#[test]
fn what_was_discarded_before_it_came_is_taken_without_its_bytes() {
    let (mut world, mut device) = admitted(1);
    let batches: Vec<_> = (1..=3).map(|content| device.seal(content)).collect();
    world.revoke(&device, None);
    assert_eq!(world.append(&batches[0]), REVOKED);
    world.discard(&device, &batches[1]);
    assert_eq!((world.append(&batches[1]), world.append(&batches[2])), (REVOKED, REVOKED));
    assert_eq!(world.aside(), [(batches[2].id(), QuarantineReason::Revoked)]);
}

#[test]
fn of_two_branches_the_one_with_the_smaller_id_stands_whichever_came_first() {
    for first in 0..2 {
        let (mut world, mut device) = admitted(1);
        let mut clone = Device::new(1, world.space);
        let mut branches = [vec![device.seal(1), device.seal(2)], vec![clone.seal(3), clone.seal(4)]];
        branches.sort_by_key(|branch| branch[0].id());
        let [stands, falls] = &branches;
        let order = if first == 0 { [stands, falls] } else { [falls, stands] };
        let outcomes: Vec<_> = order.into_iter().flatten().map(|batch| world.append(batch)).collect();
        assert_eq!(world.served_ids(), stands.iter().map(SealedBatch::id).collect::<Vec<_>>());
        let fork = |batch: &SealedBatch| (batch.id(), QuarantineReason::Fork);
        assert_eq!(world.aside(), falls.iter().map(fork).collect::<Vec<_>>());
        assert_eq!(world.height(&device), Some((2, stands[1].id())));
        let another = LogWriter::open(&world.path(), clock()).unwrap();
        for state in [world.writer.state(), another.state()] {
            let displaced = state.spaces[&world.space].displaced.get(&device.key.device()).copied();
            assert_eq!(displaced, (first == 1).then_some(2), "what never was in the log is not displaced");
        }
        if first == 0 {
            assert_eq!(outcomes[2..], [Outcome::Quarantined(QuarantineReason::Fork); 2]);
        }
        world.is_sound();
        // The chain that stands goes on.
        let winner = if branches[0][1].id() == device.prev { &mut device } else { &mut clone };
        assert!(matches!(world.append(&winner.seal(5)), Outcome::Appended { .. }));
    }
}

#[test]
fn the_batch_that_a_revoke_names_stands_against_a_forged_smaller_one() {
    let (mut world, mut device) = admitted(1);
    let honest = device.seal(1);
    assert!(matches!(world.append(&honest), Outcome::Appended { .. }));
    let forged = (2..=255).map(|content| Device::new(1, world.space).seal(content));
    let forged = forged.into_iter().find(|forged| forged.id() < honest.id()).unwrap();
    assert!(matches!(world.append(&forged), Outcome::Appended { .. }), "as long as nobody knows better");
    world.revoke(&device, Some(&honest));
    assert_eq!(world.served_ids(), [honest.id()]);
    assert_eq!(world.aside(), [(forged.id(), QuarantineReason::Fork)]);
    world.is_sound();
}

#[test]
fn a_device_over_its_quota_is_refused_and_others_are_not() {
    let (mut world, mut device) = admitted(1);
    let mut other = Device::new(2, world.space);
    world.admit(&other);
    world.revoke(&device, None);
    world.revoke(&other, None);
    let limits = super::super::quarantine::QuarantineLimits { batches_max: 2, len_max: u64::MAX };
    world.writer = LogWriter::open(&world.path(), clock()).unwrap().with_quarantine_limits(limits);
    let batches: Vec<_> = (1..=3).map(|content| device.seal(content)).collect();
    let full = Outcome::Refused(RefuseReason::QuarantineFull);
    assert_eq!(batches.iter().map(|batch| world.append(batch)).collect::<Vec<_>>(), [REVOKED, REVOKED, full]);
    assert_eq!(world.append(&other.seal(1)), REVOKED);
    world.discard(&device, &batches[0]);
    assert_eq!(world.append(&batches[2]), REVOKED, "there is room again");

    let limits = super::super::quarantine::QuarantineLimits { batches_max: 99, len_max: 1 };
    world.writer = LogWriter::open(&world.path(), clock()).unwrap().with_quarantine_limits(limits);
    assert_eq!(world.append(&device.seal(4)), full);
    // What was in the log before is never refused a place.
    let mut third = Device::new(3, world.space);
    world.admit(&third);
    let stood = third.seal(1);
    assert!(matches!(world.append(&stood), Outcome::Appended { .. }));
    world.revoke(&third, None);
    assert!(world.aside().iter().any(|(id, _)| *id == stood.id()));
}

#[test]
fn a_control_batch_is_served_on_whatever_branch_it_is() {
    let (mut world, _) = admitted(1);
    let key = Arc::clone(&world.organisation.key);
    let incarnation = Incarnation::from_bytes([9; 8]);
    let nothing = BatchId::from_bytes([0; 32]);
    let branches: Vec<_> = [2, 3]
        .map(|seed| {
            let device = Device::new(seed, world.space).key.device();
            let admit = admit_device(device, 1, world.organisation.id, "one", "patrol").unwrap();
            barid_core::control::seal_control(
                &key,
                incarnation,
                world.space,
                1,
                nothing,
                nothing,
                &[admit],
                Timestamp::from_millis(0),
                [0; 16],
            )
            .unwrap()
        })
        .into();
    for batch in &branches {
        assert!(matches!(world.append(batch), Outcome::Appended { .. }));
    }
    assert!(matches!(world.append(&branches[0]), Outcome::AlreadyHeld { .. }));
    let page = world.reader().read_after(world.space, 0, usize::MAX, None).unwrap();
    let served: Vec<_> = page.batches.iter().map(|logged| logged.batch.id()).collect();
    assert!(branches.iter().all(|batch| served.contains(&batch.id())));
    for seed in [2, 3] {
        let mut device = Device::new(seed, world.space);
        assert!(matches!(world.append(&device.seal(1)), Outcome::Appended { .. }));
    }
    let reopened = LogWriter::open(&world.path(), clock()).unwrap();
    let membership = &reopened.state().spaces[&world.space].membership;
    assert!(
        [2, 3].iter().all(|seed| membership.device(Device::new(*seed, world.space).key.device()).is_some())
    );
    world.is_sound();
}

/// One thing that reaches a relay.
#[derive(Debug, Clone, Copy)]
enum Arrival {
    Batch(usize),
    Revoke(usize),
    Adopt(usize),
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Two branches of a chain, a revoke at any cut, adopts: in whatever order they arrive, the same
    /// stands in the end.
    #[test]
    fn the_order_of_arrival_decides_nothing(
        order in Just((0..10usize).collect::<Vec<_>>()).prop_shuffle(),
        cut_at in 0..6usize,
        adopt_to in 0..6usize,
    ) {
        let (base, mut device) = admitted(1);
        let mut clone = Device::new(1, base.space);
        let first = device.seal(1);
        (clone.seq, clone.prev) = (1, first.id());
        let batches: Vec<_> = std::iter::once(first)
            .chain((2..=4).map(|content| device.seal(content)))
            .chain((12..=13).map(|content| clone.seal(content)))
            .collect();
        let decisions =
            [Arrival::Revoke(cut_at), Arrival::Adopt(adopt_to), Arrival::Adopt(cut_at), Arrival::Revoke(cut_at)];
        let arrivals: Vec<Arrival> = (0..6).map(Arrival::Batch).chain(decisions).collect();
        let mut ends = Vec::new();
        for order in [(0..10).collect(), order] {
            let mut world = base.twin();
            for arrival in order.iter().map(|place: &usize| arrivals[*place]) {
                match arrival {
                    Arrival::Batch(place) => {
                        world.append(&batches[place]);
                    }
                    Arrival::Revoke(place) => world.revoke(&device, Some(&batches[place])),
                    Arrival::Adopt(place) => world.adopt(&device, &batches[place]),
                }
                world.is_sound();
            }
            // Senders try again what had to wait.
            for _ in 0..6 {
                for batch in &batches {
                    world.append(batch);
                }
            }
            world.is_sound();
            let mut aside = world.aside();
            aside.sort_by_key(|(id, _)| *id);
            ends.push((world.served_ids(), aside, world.height(&device)));
        }
        prop_assert_eq!(&ends[0], &ends[1]);
    }
}
