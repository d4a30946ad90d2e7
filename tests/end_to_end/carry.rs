//! Where there is no network, people carry the records: from phone to phone, and on a USB stick.

use barid_core::bundle::{BundleError, BundleScope, ImportReport};
use barid_core::device::BundleRecipient;
use barid_core::exchange::Cancel;
use barid_core::id::BatchId;
use harness::phone::{PATIENCE, Phone, event_fields, meet};
use harness::relay::Relay;
use harness::wait::until;

fn import(phone: &Phone, file: &std::path::Path) -> ImportReport {
    phone.device.import_bundle(file, &Cancel::new(), |_, _| {}).unwrap()
}

/// Everything that a phone holds of its space, by id.
fn batches(phone: &Phone) -> Vec<BatchId> {
    let store = phone.device.store();
    let (batches, _) = store.batches_above(phone.space, &[], false, usize::MAX).unwrap();
    let mut ids: Vec<_> = batches.iter().map(|batch| batch.id()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_meeting_of_two_phones_and_a_bundle_on_a_stick_carry_the_same_batches() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| Phone::enrol(&relay, folder.path(), name));
    [&mut a, &mut b, &mut c].into_iter().for_each(Phone::sync_once);
    for number in 0..300 {
        a.put_event(event_fields(number));
    }

    let (given, taken) = meet(&a, &b);
    assert!(given.is_complete && taken.is_complete);
    assert_eq!((given.given.taken, given.given.batches()), (taken.taken.taken, taken.taken.batches()));
    assert_eq!(b.events().len(), 300);

    let stick = folder.path().join("stick");
    std::fs::create_dir(&stick).unwrap();
    let file = stick.join("for-c.barid");
    let recipient = BundleRecipient::Device(c.device.id());
    let exported = a
        .device
        .export_bundle(&file, recipient, &[], &BundleScope::Everything, &Cancel::new(), |_, _| {})
        .unwrap();
    assert!(exported.control_only.is_empty());
    let report = import(&c, &file);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(batches(&b), batches(&c));
    assert_eq!(batches(&a), batches(&c));
    assert_eq!((a.digest(), b.digest()), (c.digest(), c.digest()));

    // A copy of it that was cut gives what is whole, and says what is not.
    let bytes = std::fs::read(&file).unwrap();
    let torn = stick.join("torn.barid");
    std::fs::write(&torn, &bytes[..bytes.len() - 1]).unwrap();
    let report = import(&c, &torn);
    assert!(matches!(report.damage, Some(BundleError::Torn { .. })));
    assert!(report.missing.is_empty(), "only the end is missing");
    std::fs::write(&torn, &bytes[..bytes.len() - 100]).unwrap();
    let report = import(&c, &torn);
    assert_eq!(report.missing.iter().map(|run| run.batches.len()).sum::<usize>(), 1);
    // And it is for nobody else.
    let other = b.device.import_bundle(&file, &Cancel::new(), |_, _| {}).unwrap_err();
    assert_eq!(other.to_string(), "the bundle is for another device or relay");
}

#[test]
fn a_phones_work_reaches_the_relay_through_another_alone_and_it_finds_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let [mut a, mut b] = ["a", "b"].map(|name| Phone::enrol(&relay, folder.path(), name));
    [&mut a, &mut b].into_iter().for_each(Phone::sync_once);
    let before = relay.stored_changes();
    for number in 0..40 {
        a.put_event(event_fields(number));
    }
    let (_, taken) = meet(&a, &b);
    assert!(taken.taken.taken > 0);
    assert_eq!(a.device.store().unsent_records().unwrap(), 40);

    b.sync_once();
    until("the relay holds what the first phone recorded", PATIENCE, || {
        (relay.stored_changes() == before + 40).then_some(())
    });
    assert_eq!(a.device.store().unsent_records().unwrap(), 40, "nobody has told it yet");

    a.sync_once();
    assert_eq!(a.device.store().unsent_records().unwrap(), 0);
    assert_eq!(relay.stored_changes(), before + 40, "and nothing is there twice");
    assert_eq!(a.digest(), b.digest());
    let (is_sound, text) = Relay::check(relay.folder());
    assert!(is_sound, "{text}");
}

#[test]
fn a_bundle_goes_from_the_relay_to_a_phone_and_from_a_phone_to_the_relay() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let [mut a, mut b] = ["far", "near"].map(|name| Phone::enrol(&relay, folder.path(), name));
    for number in 0..30 {
        b.put_event(event_fields(number));
    }
    b.sync_once();

    // The far phone was enrolled and never came into range again: a stick is all that it gets.
    let to_phone = folder.path().join("to-far.barid");
    let printed = relay.export_bundle("far", &to_phone);
    assert!(printed.contains("(far)"), "{printed}");
    let report = import(&a, &to_phone);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(a.events().len(), 30);
    assert_eq!(a.digest(), b.digest());

    // It answers by the same way, while the relay runs and the near phone is in range.
    let record = a.put_event(event_fields(1_000));
    let to_relay = folder.path().join("to-relay.barid");
    a.device
        .export_bundle(
            &to_relay,
            BundleRecipient::Relay,
            &[],
            &BundleScope::NotAtRelay,
            &Cancel::new(),
            |_, _| {},
        )
        .unwrap();
    b.connect();
    let (is_whole, printed) = relay.import_bundle(&to_relay);
    assert!(is_whole, "{printed}");
    assert!(printed.contains("new          1\n"), "{printed}");
    until("the near phone has what came by the stick", PATIENCE, || b.event(record));
    let (is_whole, printed) = relay.import_bundle(&to_relay);
    assert!(is_whole && printed.contains("new          0\n"), "a second time nothing is new: {printed}");

    let torn = folder.path().join("torn.barid");
    let bytes = std::fs::read(&to_relay).unwrap();
    std::fs::write(&torn, &bytes[..bytes.len() - 60]).unwrap();
    let (is_whole, printed) = relay.import_bundle(&torn);
    assert!(!is_whole && printed.contains("missing") && printed.contains("ends too early"), "{printed}");
    let (is_whole, printed) = relay.import_bundle(&to_phone);
    assert!(!is_whole && printed.contains("for another device or relay"), "{printed}");

    b.disconnect();
    a.sync_once();
    assert_eq!(a.device.store().unsent_records().unwrap(), 0);
    let (is_sound, text) = Relay::check(relay.folder());
    assert!(is_sound, "{text}");
}
