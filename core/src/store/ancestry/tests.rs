use crate::batch::{BodyEntry, Entry};
use crate::control::{Cut, QuarantineReason, discard, revoke_device};
use crate::id::SpaceId;
use crate::store::fixture::{BUDGET, World, event, sets};
use crate::store::{CarriedOutcome, Store};

/// Gives one device what another has.
fn give(space: SpaceId, from: &Store, to: &Store) -> Vec<CarriedOutcome> {
    from.seal_pending(space).unwrap();
    let heights = to.heights(space).unwrap();
    let (batches, _) = from.batches_above(space, &heights, false, usize::MAX).unwrap();
    to.ingest_carried(space, &batches).unwrap().outcomes
}

#[test]
fn what_a_member_built_on_late_work_stands_with_exactly_its_ancestry() {
    let mut world = World::new();
    let (lost, member, other) = (world.device(1, 0), world.device(2, 1), world.device(3, 1));
    let space = world.space;
    for device in [&lost, &member, &other] {
        world.download(device);
    }
    let put = |title: &str| lost.write(|w| w.put(space, "event", None, event(title, 1.0, 1.0))).unwrap();
    let (built_on, left) = (put("built on"), put("left"));
    lost.write(|w| w.patch(space, "event", built_on, sets("note", "late"))).unwrap();
    // They meet in the desert, and nobody has heard of anything.
    assert_eq!(give(space, &lost, &member), [CarriedOutcome::Taken]);
    member.write(|w| w.patch(space, "event", built_on, sets("note", "seen"))).unwrap();
    lost.write(|w| w.patch(space, "event", built_on, sets("title", "later still"))).unwrap();
    give(space, &lost, &member);
    let own = |batch: &crate::batch::SealedBatch| Some(batch.header().device) == member.device();
    let (sealed, _) = member.outgoing(&[], &[], BUDGET).unwrap();
    let carries = |entry: &BodyEntry| matches!(entry, BodyEntry::Present { entry: Entry::Ancestor(_), .. });
    assert!(sealed.iter().all(own) && sealed[0].open().unwrap().entries.iter().all(carries));

    let revoke = revoke_device(lost.device().unwrap(), "seized", Vec::new()).unwrap();
    world.control(&revoke);
    // The other one gets the revoke and what the member wrote, and nothing of the lost device.
    world.download(&other);
    assert_eq!(other.ingest_carried(space, &sealed).unwrap().outcomes.len(), sealed.len());
    world.download(&member);
    for device in [&member, &other] {
        let record = device.get(space, "event", built_on).unwrap().unwrap();
        assert_eq!(record.fields["note"], "seen".into());
        assert_eq!(record.fields["title"], "built on".into(), "what it did not build on is not there");
        assert_eq!(device.get(space, "event", left).unwrap(), None);
    }
    assert_eq!(member.digest(space).unwrap(), other.digest(space).unwrap());
    let held = member.quarantined(space).unwrap();
    assert!(!held.is_empty() && held.iter().all(|held| held.reason == QuarantineReason::Revoked));
    // Met again, the lost device is judged alike, and its own work stays visible to itself.
    let outcomes = give(space, &lost, &other);
    assert!(outcomes.contains(&CarriedOutcome::Quarantined(QuarantineReason::Revoked)));
    world.download(&lost);
    assert!(lost.get(space, "event", left).unwrap().is_some());
    assert_eq!(member.digest(space).unwrap(), other.digest(space).unwrap());

    // A discard hides what is left of it, and undoes nothing.
    let chain = crate::control::Discarded {
        incarnation: lost.incarnation(),
        lane: crate::batch::Lane::Normal,
        seq: 99,
    };
    let before = member.digest(space).unwrap();
    world.control(&discard(lost.device().unwrap(), vec![chain]).unwrap());
    world.download(&member);
    assert_eq!((member.quarantined(space).unwrap(), member.digest(space).unwrap()), (Vec::new(), before));
}

#[test]
fn what_a_revoked_member_built_on_late_work_is_carried_by_whoever_holds_it() {
    for is_member_first in [false, true] {
        let mut world = World::new();
        let [lost, member, holder, other] = [1, 2, 3, 4].map(|seed| world.device(seed, 0));
        let space = world.space;
        for device in [&lost, &member, &holder, &other] {
            world.download(device);
        }
        let id = lost.write(|w| w.put(space, "event", None, event("late", 1.0, 1.0))).unwrap();
        lost.seal_pending(space).unwrap();
        // A log had it, and was restored from an older copy since.
        let (late, _) = lost.batches_above(space, &[], false, usize::MAX).unwrap();
        let late = late.into_iter().filter(|batch| Some(batch.header().device) == lost.device());
        let late: Vec<_> = (50..).zip(late).collect();
        for device in [&member, &holder] {
            device.ingest(space, &late, None).unwrap();
        }
        member.write(|w| w.patch(space, "event", id, sets("note", "seen"))).unwrap();
        let (sealed, _) = member.outgoing(&[], &[], BUDGET).unwrap();
        assert_eq!(sealed.len(), 1, "what a log has is not carried along");
        for device in [&holder, &other] {
            device.ingest_carried(space, &sealed).unwrap();
        }
        let header = sealed[0].header();
        let (incarnation, lane, seq) = (header.incarnation, header.lane, header.seq);
        let cut = Cut { incarnation, lane, seq, batch: sealed[0].id() };
        let mut revokes = [
            revoke_device(lost.device().unwrap(), "seized", Vec::new()).unwrap(),
            revoke_device(member.device().unwrap(), "seized", vec![cut]).unwrap(),
        ];
        if is_member_first {
            revokes.reverse();
        }
        for revoke in &revokes {
            world.control(revoke);
            world.download(&holder);
            world.download(&other);
        }
        assert_eq!(other.get(space, "event", id).unwrap(), None, "it waits for what fell");
        let (carried, _) = holder.outgoing(&[], &[], BUDGET).unwrap();
        assert_eq!(carried.len(), 1);
        other.ingest_carried(space, &carried).unwrap();
        assert_eq!(other.get(space, "event", id).unwrap().unwrap().fields["note"], "seen".into());
        assert_eq!(other.digest(space).unwrap(), holder.digest(space).unwrap());
        assert_eq!(holder.outgoing(&[], &[], BUDGET).unwrap().0, carried, "once");
    }
}

#[test]
fn a_carrier_brings_others_batches_to_the_relay_and_again_to_another_log() {
    let mut world = World::new();
    let (author, carrier) = (world.device(1, 0), world.device(2, 1));
    let space = world.space;
    for device in [&author, &carrier] {
        world.download(device);
    }
    author.write(|w| w.put(space, "event", None, event("carried", 1.0, 1.0))).unwrap();
    give(space, &author, &carrier);
    let carried = |foreign: &[SpaceId]| carrier.outgoing(&[], foreign, BUDGET).unwrap().0;
    assert_eq!(carrier.counts().unwrap().carried, 1);
    assert_eq!(carrier.counts().unwrap().unsent_changes, 0);
    assert_eq!((carried(&[]).len(), carried(&[space]).len()), (0, 1));
    let batch = carried(&[space]).remove(0);
    world.append(batch.clone());
    world.download(&carrier);
    assert_eq!((carried(&[space]).len(), carrier.counts().unwrap().carried), (0, 0));
    // Another log: what of others it has is not known before it was read.
    carrier.reset_cursor(space).unwrap();
    assert!(carried(&[space]).contains(&batch));
    world.download(&carrier);
    assert!(carried(&[space]).is_empty());
}
