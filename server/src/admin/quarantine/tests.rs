//! Claims about revoking a device and deciding on what it wrote after that.

use std::sync::Arc;

use barid_core::batch::{Entry, SealSpec, SealedBatch, seal};
use barid_core::control::admit_device;
use barid_core::id::RecordId;
use barid_core::identity::Identity;
use barid_core::model::event;

use super::*;
use crate::admin::device::{RevokeOutcome, find, revoke};
use crate::admin::erase::erase;
use crate::fixture::{Phone, World};
use crate::keys;
use crate::log::{Excluding, Outcome, verify};

/// Records so many events, each sealed into a batch of its own; what became of the batches.
fn record(world: &mut World, phone: &Phone, count: usize) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for number in 0..count {
        let fields = Fields::from([("title".to_owned(), Value::Text(format!("event {number}")))]);
        phone.store.write(|group| group.put(world.joint, event::NAME, None, fields.clone())).unwrap();
        let (batches, _) = phone.store.outgoing(&[], &[], usize::MAX).unwrap();
        for batch in batches {
            let id = batch.id();
            let verified = verify(batch).unwrap();
            outcomes.push(world.log.transact(|append| append.batch(&verified)).unwrap());
            phone.store.acknowledge(&[id]).unwrap();
        }
    }
    outcomes
}

fn device(world: &World, phone: &Phone) -> Listed {
    find(&world.data, &phone.device.to_string()).unwrap()
}

/// The places of a device's batches in the log, in the order of the log.
fn logged(world: &World, phone: &Phone) -> Vec<u64> {
    let reader = LogReader::open(&world.data.log_db()).unwrap();
    let page = reader.read_after(world.joint, 0, usize::MAX, NOTHING).unwrap();
    let headers = page.batches.iter().map(|logged| logged.batch.header());
    headers.filter(|header| header.device == phone.device).map(|header| header.seq).collect()
}

const NOTHING: Excluding = None;

fn actions(world: &World) -> Vec<String> {
    let (entries, broken) = crate::admin::trail(&world.data).unwrap();
    assert_eq!(broken, None);
    entries.into_iter().map(|entry| entry.action).collect()
}

#[test]
fn what_the_relay_holds_stands_and_what_comes_after_the_revoke_waits_for_a_decision() {
    let mut world = World::new();
    let phone = world.phone(0, "Ghat 1");
    record(&mut world, &phone, 3);
    let listed = device(&world, &phone);
    let revoked = revoke(&world.data, &listed, "lost", false).unwrap();
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].outcome, RevokeOutcome::Done { chains: 1, batches: 3, unnamed: 0 });
    assert_eq!(revoke(&world.data, &listed, "lost", false).unwrap()[0].outcome, RevokeOutcome::Already);

    let late = record(&mut world, &phone, 4);
    assert!(
        late.iter().all(|outcome| *outcome == Outcome::Quarantined(QuarantineReason::Revoked)),
        "{late:?}"
    );
    assert_eq!(logged(&world, &phone), [1, 2, 3]);
    let held = list(&world.data).unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].seqs, held[0].batches, held[0].entries), ((4, 7), 4, 4));
    assert_eq!((held[0].label.as_str(), held[0].space_name.as_str()), ("Ghat 1", "Joint centre"));
    let listed = device(&world, &phone);
    assert_eq!((listed.state.as_str(), listed.quarantined), ("revoked", 4));

    let up_to = Part { up_to: Some(5), ..Part::default() };
    let adopted = adopt(&world.data, &listed, &up_to).unwrap();
    assert_eq!((adopted.batches, adopted.entries, adopted.left), (2, 2, 0));
    assert_eq!(logged(&world, &phone), [1, 2, 3, 4, 5]);

    assert_eq!(would_discard(&world.data, &listed, &Part::default()).unwrap().batches, 2);
    assert_eq!(logged(&world, &phone).len(), 5);
    assert_eq!(discard(&world.data, &listed, &Part::default()).unwrap().batches, 2);
    assert!(list(&world.data).unwrap().is_empty());
    let nothing = discard(&world.data, &listed, &Part::default()).unwrap_err();
    assert!(nothing.to_string().contains("barid quarantine list"), "{nothing}");
    assert_eq!(actions(&world), ["revoke", "adopt", "discard"]);
    let checked = crate::admin::check::check(&world.data).unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
}

/// A batch of a seized phone: what its key can sign after any batch.
fn forged(key: &Identity, after: &SealedBatch, word: u8) -> SealedBatch {
    let header = after.header();
    let spec = SealSpec {
        key,
        incarnation: header.incarnation,
        space: header.space,
        lane: header.lane,
        seq: header.seq + 1,
        prev: after.id(),
        control_head: header.control_head,
        kind: header.kind,
        claimed_time: header.claimed_time,
        seed: [word; 16],
    };
    seal(spec, &[Entry::Unknown { tag: 200, bytes: vec![word] }]).unwrap()
}

/// A phone that was seized and revoked after two batches; with its key a fork below the cut was made,
/// and two branches beyond it, of two batches and of one. Gives the last batch of each.
fn seized() -> (World, Phone, Listed, [BatchId; 3]) {
    let mut world = World::new();
    let key = Arc::new(Identity::generate());
    let phone = world.phone_of(Arc::clone(&key), 0, "Ghat 1");
    record(&mut world, &phone, 2);
    let reader = LogReader::open(&world.data.log_db()).unwrap();
    let page = reader.read_after(world.joint, 0, usize::MAX, NOTHING).unwrap();
    let own: Vec<_> = page.batches.into_iter().map(|logged| logged.batch).collect();
    let own: Vec<_> = own.into_iter().filter(|batch| batch.header().device == phone.device).collect();
    let listed = device(&world, &phone);
    revoke(&world.data, &listed, "seized", false).unwrap();

    let below = forged(&key, &own[0], 1);
    let below_on = forged(&key, &below, 5);
    let long = forged(&key, &own[1], 2);
    let long_on = forged(&key, &long, 3);
    let short = forged(&key, &own[1], 4);
    for (batch, reason) in [
        (&below, QuarantineReason::Fork),
        (&below_on, QuarantineReason::Revoked),
        (&long, QuarantineReason::Revoked),
        (&long_on, QuarantineReason::Revoked),
        (&short, QuarantineReason::Revoked),
    ] {
        let verified = verify(batch.clone()).unwrap();
        let outcome = world.log.transact(|append| append.batch(&verified)).unwrap();
        assert_eq!(outcome, Outcome::Quarantined(reason));
    }
    (world, phone, listed, [long_on.id(), short.id(), below_on.id()])
}

#[test]
fn of_several_branches_the_longest_is_adopted_unless_another_is_named_and_none_from_below_the_cut() {
    let (world, phone, listed, [_, _, below]) = seized();
    let part = |batch| Part { batch: Some(batch), ..Part::default() };
    assert!(matches!(adopt(&world.data, &listed, &part(below)), Err(AdminError::NothingQuarantined(..))));
    let decided = adopt(&world.data, &listed, &Part::default()).unwrap();
    assert_eq!((decided.batches, decided.left), (2, 3));
    assert_eq!(logged(&world, &phone), [1, 2, 3, 4]);

    let (world, phone, listed, [_, short, _]) = seized();
    let decided = adopt(&world.data, &listed, &part(short)).unwrap();
    assert_eq!((decided.batches, decided.left), (1, 4));
    assert_eq!(logged(&world, &phone), [1, 2, 3]);
}

#[test]
fn what_a_seized_phone_forks_before_it_is_revoked_stands_no_more_after_it() {
    let mut world = World::new();
    let key = Arc::new(Identity::generate());
    let phone = world.phone_of(Arc::clone(&key), 0, "Ghat 1");
    record(&mut world, &phone, 3);
    let own = |world: &World| {
        let reader = LogReader::open(&world.data.log_db()).unwrap();
        let page = reader.read_after(world.joint, 0, usize::MAX, NOTHING).unwrap();
        let batches = page.batches.into_iter().map(|logged| logged.batch);
        batches.filter(|batch| batch.header().device == phone.device).collect::<Vec<_>>()
    };
    let honest = own(&world);
    // As many tries as it takes until the forgery's id is the smaller one.
    let mut forks = (0..=u8::MAX).map(|word| forged(&key, &honest[0], word));
    let fork = forks.find(|fork| fork.id() < honest[1].id()).unwrap();
    let fork_on = forged(&key, &fork, 1);
    for batch in [&fork, &fork_on] {
        let verified = verify(batch.clone()).unwrap();
        let outcome = world.log.transact(|append| append.batch(&verified)).unwrap();
        assert!(matches!(outcome, Outcome::Appended { .. }), "{outcome:?}");
    }
    let ids = |batches: &[SealedBatch]| batches.iter().map(SealedBatch::id).collect::<Vec<_>>();
    assert_eq!(ids(&own(&world)), [honest[0].id(), fork.id(), fork_on.id()], "it displaces what stood");

    let listed = device(&world, &phone);
    let revoked = revoke(&world.data, &listed, "seized", false).unwrap();
    assert_eq!(revoked[0].outcome, RevokeOutcome::Done { chains: 1, batches: 3, unnamed: 0 });
    assert_eq!(ids(&own(&world)), ids(&honest));
    let held = list(&world.data).unwrap();
    let held: Vec<_> = held.iter().map(|held| (held.reason, held.seqs)).collect();
    assert_eq!(held, [(QuarantineReason::Fork, (2, 3))]);
    assert!(matches!(adopt(&world.data, &listed, &Part::default()), Err(AdminError::NothingQuarantined(..))));
    let checked = crate::admin::check::check(&world.data).unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
}

#[test]
fn a_device_is_named_by_its_label_its_id_or_the_beginning_of_one() {
    let mut world = World::new();
    let phone = world.phone(0, "Ghat 1");
    world.phone(0, "Twins");
    world.phone(1, "Twins");
    let id = phone.device.to_string();
    for text in ["Ghat 1", " ghat 1 ", &id, &id[..6]] {
        assert_eq!(find(&world.data, text).unwrap().id, phone.device, "{text}");
    }
    assert!(matches!(find(&world.data, "Twins"), Err(AdminError::AmbiguousDevice(_))));
    for text in ["nobody", &id[..5], ""] {
        let unknown = find(&world.data, text).unwrap_err();
        assert!(unknown.to_string().contains("barid device list"), "{unknown}");
    }
}

#[test]
fn a_space_whose_key_is_elsewhere_is_told_apart_and_the_others_are_decided() {
    let mut world = World::new();
    let phone = world.phone(0, "Ghat 1");
    let organisation = world.organisations[0];
    let key = world.data.organisation_key(organisation);
    let signer = Arc::new(keys::load(&key).unwrap());
    let state = world.log.state();
    let own = state
        .spaces
        .iter()
        .find(|(id, known)| **id != world.joint && known.membership.organisation(organisation).is_some());
    let own = *own.unwrap().0;
    let statements = vec![admit_device(phone.device, 1, organisation, "Ghat 1", "patrol").unwrap()];
    world
        .log
        .transact(|append| append.statements(&OwnStatements { space: own, signer, statements }))
        .unwrap();
    std::fs::rename(&key, key.with_extension("elsewhere")).unwrap();
    let listed = device(&world, &phone);
    let outcome = |space, revoked: &[crate::admin::device::Revoked]| {
        revoked.iter().find(|revoked| revoked.space == space).unwrap().outcome
    };
    let revoked = revoke(&world.data, &listed, "lost", false).unwrap();
    assert_eq!(outcome(own, &revoked), RevokeOutcome::NoSigner);
    assert!(matches!(outcome(world.joint, &revoked), RevokeOutcome::Done { chains: 0, .. }));
    std::fs::rename(key.with_extension("elsewhere"), &key).unwrap();
    let revoked = revoke(&world.data, &listed, "lost", false).unwrap();
    assert!(matches!(outcome(own, &revoked), RevokeOutcome::Done { .. }));
    assert_eq!(outcome(world.joint, &revoked), RevokeOutcome::Already);
}

#[test]
fn an_erased_record_is_in_none_of_the_logs_files() {
    let mut world = World::new();
    let phone = world.phone(0, "Ghat 1");
    let secret = "the well behind the third dune";
    let fields = Fields::from([("title".to_owned(), Value::Text(secret.to_owned()))]);
    let id = phone.store.write(|group| group.put(world.joint, event::NAME, None, fields)).unwrap();
    world.take(&phone);
    let in_files = |world: &World| {
        ["log.db", "log.db-wal"]
            .map(|name| std::fs::read(world.root().join(name)).unwrap_or_default())
            .iter()
            .any(|bytes| bytes.windows(secret.len()).any(|window| window == secret.as_bytes()))
    };
    assert!(in_files(&world));
    assert!(matches!(erase(&world.data, "event", id, "nowhere"), Err(AdminError::UnknownSpace(..))));
    let erased = erase(&world.data, "event", id, "Joint centre").unwrap();
    assert!(erased.is_gone && !erased.already && !in_files(&world));
    assert!(erase(&world.data, "event", id, "Joint centre").unwrap().already);
    assert!(erase(&world.data, "", RecordId::from_bytes([1; 16]), "Joint centre").is_err());
    assert_eq!(actions(&world), ["erase"]);
    let checked = crate::admin::check::check(&world.data).unwrap();
    assert!(checked.findings.is_empty(), "{:?}", checked.findings);
}

#[test]
fn a_changed_trail_is_a_finding() {
    let mut world = World::new();
    let phone = world.phone(0, "Ghat 1");
    revoke(&world.data, &device(&world, &phone), "lost", false).unwrap();
    let log = rusqlite::Connection::open(world.data.log_db()).unwrap();
    log.execute("UPDATE trail SET entry = zeroblob(40)", []).unwrap();
    let checked = crate::admin::check::check(&world.data).unwrap();
    let findings: Vec<_> = checked.findings.iter().map(ToString::to_string).collect();
    assert_eq!(findings, ["log.db: the audit trail is not as it was written from entry 1 on"]);
}
