//! Bundles between real stores.

use super::*;
use crate::exchange::Cancel;
use crate::exchange::fixture::{Party, World};
use crate::id::DeviceId;

fn export_for(party: &Party, recipient: (DeviceId, bool), scope: &BundleScope) -> (Vec<u8>, ExportReport) {
    let mut file = Vec::new();
    let spaces = party.store.spaces().unwrap();
    let now = Timestamp::from_millis(1_790_000_000_000);
    let (recipient, is_relay) = recipient;
    let request = BundleRequest { recipient, is_relay, spaces: &spaces, scope, now };
    let report = export(&party.store, request, &mut file, &Cancel::new(), |_, _| {}).unwrap();
    (file, report)
}

fn import_into(party: &Party, bytes: &[u8]) -> ImportReport {
    import(&party.store, &party.identity, bytes, &Cancel::new(), |_, _| {}).unwrap()
}

#[test]
fn a_bundle_carries_to_another_device_what_an_exchange_would() {
    let (_, one, two) = World::pair();
    let record = one.record("carried");
    one.records(80);
    let (file, exported) = export_for(&one, (two.id(), false), &BundleScope::Everything);
    assert!(exported.control_only.is_empty() && !exported.is_partial);
    let report = import_into(&two, &file);
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(report.batches_total, exported.batches);
    assert_eq!((report.tally.held, report.tally.taken), (3, exported.batches - 3), "control was held");
    assert!(two.holds(record));
    assert_eq!(one.digest(), two.digest());
    let again = import_into(&two, &file);
    assert_eq!((again.tally.held, again.tally.taken), (exported.batches, 0));
}

#[test]
fn a_bundle_above_given_heights_carries_what_lies_above_them() {
    let (_, one, two) = World::pair();
    one.record("before");
    let (file, _) = export_for(&one, (two.id(), false), &BundleScope::Everything);
    import_into(&two, &file);
    let heights = two.store.heights(two.space).unwrap();
    one.record("after");
    let above = BundleScope::Above(heights.into_iter().map(|height| (two.space, height)).collect());
    let (file, exported) = export_for(&one, (two.id(), false), &above);
    assert_eq!(exported.batches, 1);
    assert_eq!(import_into(&two, &file).tally.taken, 1);
    assert_eq!(one.digest(), two.digest());
}

#[test]
fn a_bundle_of_what_the_relay_lacks_holds_own_and_carried_work_and_no_more() {
    let (_, one, two) = World::pair();
    let relay = Identity::from_seed([9; 32]);
    let (carried, own) = (one.record("carried"), two.record("own"));
    let (file, _) = export_for(&one, (two.id(), false), &BundleScope::Everything);
    import_into(&two, &file);
    assert!(two.holds(carried) && two.holds(own));
    let (file, exported) = export_for(&two, (relay.device(), true), &BundleScope::NotAtRelay);
    let mut reader = BundleReader::open(&file[..], &relay).unwrap();
    let mut authors = std::collections::BTreeSet::new();
    while let Some(BundleItem::Batch(batch)) = reader.next_item().unwrap() {
        if batch.header().kind == BatchKind::Entries {
            authors.insert(batch.header().device);
        }
    }
    assert_eq!(authors, [one.id(), two.id()].into());
    // Control batches that came by hand may be news to the relay too.
    assert_eq!(exported.batches, 2 + 3);
}

#[test]
fn a_bundle_for_a_device_that_is_no_member_holds_control_batches_alone() {
    let mut world = World::new();
    world.admit(1);
    world.admit(2);
    world.revoke(2);
    let one = world.party(1, 4);
    one.record("not for the revoked one");
    for (device, expected) in [(2, 4), (7, 4)] {
        let recipient = Identity::from_seed([device; 32]).device();
        let (file, exported) = export_for(&one, (recipient, false), &BundleScope::Everything);
        assert_eq!((exported.batches, exported.control_only.len()), (expected, 1));
        let (_, exported) = export_for(&one, (recipient, false), &BundleScope::NotAtRelay);
        assert_eq!(exported.batches, expected);
        if device == 2 {
            let two = world.party(2, 3);
            assert_eq!(import_into(&two, &file).tally.taken, 1);
            assert!(two.store.membership(two.space).unwrap().is_revoked(two.id()));
        }
    }
}

#[test]
fn a_torn_bundle_brings_in_what_is_whole_and_a_second_copy_the_rest() {
    let (_, one, two) = World::pair();
    one.records(200);
    let (file, exported) = export_for(&one, (two.id(), false), &BundleScope::Everything);
    assert!(exported.batches > 5);
    let report = import_into(&two, &file[..file.len() / 2]);
    assert!(matches!(report.damage, Some(BundleError::Torn { offset }) if offset == file.len() as u64 / 2));
    assert!(report.tally.taken > 0 && !report.missing.is_empty());
    let missing: usize = report.missing.iter().map(|run| run.batches.len()).sum();
    assert_eq!(report.tally.batches() + missing as u64, exported.batches);
    let held = two.batches();
    assert!(report.missing.iter().flat_map(|run| &run.batches).all(|batch| !held.contains(batch)));
    let mut altered = file.clone();
    altered[file.len() * 3 / 4] ^= 1;
    let report = import_into(&two, &altered);
    assert!(matches!(report.damage, Some(BundleError::Damaged { .. })) && report.tally.taken > 0);
    assert!(import_into(&two, &file).is_whole());
    assert_eq!(one.digest(), two.digest());
}

#[test]
fn a_bundle_of_a_space_that_was_not_joined_is_passed_over_and_counted() {
    let (_, one, _) = World::pair();
    let other = World::named(9);
    let two = other.party(2, 1);
    one.record("elsewhere");
    // It names the second device as a member of the first one's space; that one has never joined it.
    let (file, exported) = export_for(&one, (two.id(), false), &BundleScope::Everything);
    let report = import_into(&two, &file);
    assert_eq!((report.other_spaces, report.tally.batches()), (exported.batches, 0));
}

#[test]
fn a_cancelled_export_and_import_say_so() {
    let (_, one, two) = World::pair();
    one.records(100);
    let cancel = Cancel::new();
    let now = Timestamp::from_millis(0);
    let mut file = Vec::new();
    let (recipient, is_relay, spaces) = (two.id(), false, &[one.space][..]);
    let request = BundleRequest { recipient, is_relay, spaces, scope: &BundleScope::Everything, now };
    let exported = export(&one.store, request, &mut file, &cancel, |_, _| cancel.cancel());
    assert!(matches!(exported, Err(ExportError::Cancelled)));
    let (file, _) = export_for(&one, (two.id(), false), &BundleScope::Everything);
    let cancel = Cancel::new();
    let report = import(&two.store, &two.identity, &file[..], &cancel, |read, _| {
        if read == 4 {
            cancel.cancel()
        }
    })
    .unwrap();
    assert!(report.is_cancelled && !report.is_whole());
    assert_eq!(report.tally.batches(), 4);
}
