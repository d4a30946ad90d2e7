//! A phone that is revoked with five hundred changes queued: nothing of them is merged, nothing is lost,
//! and everybody comes to the same verdict.

use std::time::{Duration, Instant};

use barid_core::model::{Value, event};
use barid_core::store::WriteGroup;
use harness::phone::{PATIENCE, Phone, event_fields, meet};
use harness::relay::Relay;
use harness::wait::until;

/// Records that the relay has before the revoke, and changes that are queued when it comes.
const BEFORE: usize = 20;
const QUEUED: usize = 500;

struct Scene {
    folder: tempfile::TempDir,
    relay: Relay,
    seized: Phone,
    east: Phone,
}

/// Two phones that hold the same twenty records of the one that will be seized.
fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let mut seized = Phone::enrol(&relay, folder.path(), "seized");
    let mut east = Phone::enrol(&relay, folder.path(), "east");
    record(&seized, 0, BEFORE);
    seized.connect();
    east.connect();
    wait_for(&east, BEFORE);
    seized.wait_synced();
    Scene { folder, relay, seized, east }
}

/// Records events, a hundred in a write: what takes long is the wait for the disk.
fn record(phone: &Phone, from: usize, count: usize) {
    for from in (from..from + count).step_by(100) {
        let numbers = from..(from + count).min(from + 100);
        let put = |group: &mut WriteGroup<'_, '_>| {
            numbers.clone().try_for_each(|number| {
                group.put(phone.space, event::NAME, None, event_fields(number)).map(drop)
            })
        };
        phone.device.store().write(put).unwrap();
    }
}

fn wait_for(phone: &Phone, records: usize) {
    until("the phone shows so many records", PATIENCE, || (phone.events().len() == records).then_some(()));
}

impl Scene {
    fn revoke(&self) {
        let printed = self.relay.ask(&["device", "revoke", "seized", "--reason", "seized at a checkpoint"]);
        assert!(printed.contains("revoked"), "{printed}");
    }

    /// Changes in quarantine, as the relay lists them.
    fn quarantined(&self) -> usize {
        let printed = self.relay.ask(&["quarantine", "list"]);
        let entries = printed.split('\t').filter_map(|column| column.strip_suffix(" entries"));
        entries.map(|count| count.parse::<usize>().unwrap()).sum()
    }

    fn wait_quarantined(&self, changes: usize) {
        until("the relay has it in quarantine", PATIENCE, || (self.quarantined() == changes).then_some(()));
    }

    /// Nothing of what was queued is in the log, on the other phone or in the views.
    fn assert_kept_apart(&self) {
        assert_eq!(self.relay.stored_changes(), BEFORE as u64);
        self.east.wait_synced();
        assert_eq!(self.east.events().len(), BEFORE);
        assert_clean(&self.relay);
    }

    fn adopt(&self) {
        let printed = self.relay.ask(&["quarantine", "adopt", "seized"]);
        assert!(printed.contains(&format!("{QUEUED} entries")), "{printed}");
        wait_for(&self.east, BEFORE + QUEUED);
        assert_eq!(self.relay.stored_changes(), (BEFORE + QUEUED) as u64);
        assert_eq!(self.quarantined(), 0);
        assert_clean(&self.relay);
    }

    fn discard(&self) {
        let without_yes = self.relay.try_ask(&["quarantine", "discard", "seized"]);
        assert!(!without_yes.0 && without_yes.1.contains("--yes"), "{}", without_yes.1);
        assert_eq!(self.quarantined(), QUEUED);
        let printed = self.relay.ask(&["quarantine", "discard", "seized", "--yes"]);
        assert!(printed.contains(&format!("{QUEUED} entries")), "{printed}");
        assert_eq!(self.quarantined(), 0);
        self.assert_kept_apart();
    }
}

fn assert_clean(relay: &Relay) {
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(is_clean, "{printed}");
}

/// Revokes the seized phone while 500 changes of it are on their way, and sees its link cut.
fn revoke_while_linked(scene: &Scene) {
    // Its batches are sent, and none of them has arrived when the revoke comes.
    scene.seized.link.hold_up(true);
    record(&scene.seized, BEFORE, QUEUED);
    let ended = scene.seized.link.ended();
    scene.revoke();
    let begun = Instant::now();
    until("its link is cut", Duration::from_secs(1), || (scene.seized.link.ended() > ended).then_some(()));
    println!("the link was cut {} ms after the command was done", begun.elapsed().as_millis());
    assert_eq!(scene.relay.stored_changes(), BEFORE as u64, "none of it came before the revoke");
    scene.seized.link.drop_connections();
    scene.seized.link.hold_up(false);
}

#[test]
fn a_phone_revoked_while_it_is_linked_is_cut_within_a_second_and_then_only_hands_over() {
    let scene = scene();
    revoke_while_linked(&scene);
    // It comes back to a link that takes its batches, and gives it nothing.
    scene.wait_quarantined(QUEUED);
    let told = scene.east.put_event(event_fields(9_000));
    scene.east.wait_synced();
    until("the phone has handed over everything", PATIENCE, || {
        (scene.seized.status().unsent_records == 0).then_some(())
    });
    std::thread::sleep(Duration::from_secs(1));
    assert!(scene.seized.event(told).is_none(), "a revoked phone gets no record");
    assert_eq!(scene.seized.events().len(), BEFORE + QUEUED, "and keeps showing its own");
    assert_eq!(scene.relay.stored_changes(), BEFORE as u64 + 1);
    assert_eq!(scene.east.events().len(), BEFORE + 1);

    let printed = scene.relay.ask(&["quarantine", "adopt", "seized"]);
    assert!(printed.contains(&format!("{QUEUED} entries")), "{printed}");
    wait_for(&scene.east, BEFORE + QUEUED + 1);
    assert_eq!(scene.relay.stored_changes(), (BEFORE + QUEUED) as u64 + 1);
    assert_eq!(scene.quarantined(), 0);
    assert_clean(&scene.relay);
}

#[test]
fn of_a_phone_revoked_while_it_is_linked_nothing_is_merged_if_it_is_discarded() {
    let scene = scene();
    revoke_while_linked(&scene);
    scene.wait_quarantined(QUEUED);
    scene.assert_kept_apart();
    scene.discard();
}

/// A scene in which the phone was away when it was revoked, and came back.
fn revoked_while_away() -> Scene {
    let mut scene = scene();
    scene.seized.disconnect();
    record(&scene.seized, BEFORE, QUEUED);
    scene.revoke();
    scene.seized.connect();
    scene.wait_quarantined(QUEUED);
    scene.assert_kept_apart();
    scene
}

#[test]
fn of_a_phone_revoked_while_it_was_away_an_adopt_brings_all() {
    revoked_while_away().adopt();
}

#[test]
fn of_a_phone_revoked_while_it_was_away_a_discard_brings_nothing() {
    revoked_while_away().discard();
}

/// A phone of the same people that met the seized one in the desert, and has what that had queued.
fn witness(scene: &mut Scene) -> Phone {
    let mut witness = Phone::enrol(&scene.relay, scene.folder.path(), "witness");
    witness.sync_once();
    scene.seized.disconnect();
    record(&scene.seized, BEFORE, QUEUED);
    meet(&scene.seized, &witness);
    assert_eq!(witness.events().len(), BEFORE + QUEUED);
    witness
}

/// What a phone holds and does not show.
fn kept_apart(phone: &Phone) -> u64 {
    phone.device.store().quarantined(phone.space).unwrap().iter().map(|batch| batch.entries).sum()
}

#[test]
fn a_phone_that_met_the_revoked_one_before_comes_to_the_same_verdict_and_hands_its_work_over() {
    let mut scene = scene();
    let mut witness = witness(&mut scene);
    scene.revoke();
    witness.connect();
    wait_for(&witness, BEFORE);
    assert_eq!(kept_apart(&witness), QUEUED as u64);
    // The seized one never comes back: the relay has its work from the one that met it.
    scene.wait_quarantined(QUEUED);
    scene.assert_kept_apart();
    witness.wait_synced();
    assert_eq!(witness.digest(), scene.east.digest());

    scene.adopt();
    wait_for(&witness, BEFORE + QUEUED);
    witness.wait_synced();
    assert_eq!((witness.digest(), kept_apart(&witness)), (scene.east.digest(), 0));
    // A phone that comes later holds the same.
    let mut late = Phone::enrol(&scene.relay, scene.folder.path(), "late");
    late.sync_once();
    assert_eq!(late.digest(), scene.east.digest());
}

#[test]
fn a_phone_that_knows_of_the_revoke_takes_the_revoked_ones_work_and_shows_none_of_it() {
    let mut scene = scene();
    let mut witness = Phone::enrol(&scene.relay, scene.folder.path(), "witness");
    scene.seized.disconnect();
    record(&scene.seized, BEFORE, QUEUED);
    scene.revoke();
    witness.sync_once();
    scene.east.put_event(event_fields(9_000));
    scene.east.wait_synced();
    witness.sync_once();
    meet(&scene.seized, &witness);
    assert_eq!((witness.events().len(), kept_apart(&witness)), (BEFORE + 1, QUEUED as u64));
    assert_eq!(scene.seized.events().len(), BEFORE + QUEUED, "nothing goes to a revoked phone");

    witness.connect();
    scene.wait_quarantined(QUEUED);
    witness.wait_synced();
    assert_eq!(witness.digest(), scene.east.digest());
    let printed = scene.relay.ask(&["quarantine", "discard", "seized", "--yes"]);
    assert!(printed.contains(&format!("{QUEUED} entries")), "{printed}");
    until("it is gone there too", PATIENCE, || (kept_apart(&witness) == 0).then_some(()));
    assert_eq!(witness.events().len(), BEFORE + 1);
    assert_clean(&scene.relay);
}

#[test]
fn where_a_member_had_built_on_late_work_that_record_stands_and_no_other() {
    let mut scene = scene();
    let mut witness = witness(&mut scene);
    let late = |phone: &Phone| {
        let number = |title: &str| title.ends_with(&format!(" {}", BEFORE + 7));
        let events = phone.events();
        let found = events
            .iter()
            .find(|event| event.fields.get("title").and_then(Value::as_text).is_some_and(number));
        found.map(|event| event.id)
    };
    let built_on = late(&scene.seized).unwrap();
    // The seized one edits it, they meet again, and the other goes on from there.
    scene.seized.patch_event(built_on, [("persons_total", Value::Int(11))]);
    meet(&scene.seized, &witness);
    witness.patch_event(built_on, [("operational_state", "resolved".into())]);
    scene.revoke();
    witness.connect();
    wait_for(&scene.east, BEFORE + 1);
    scene.wait_quarantined(QUEUED + 1);
    witness.wait_synced();
    wait_for(&witness, BEFORE + 1);
    for phone in [&scene.east, &witness] {
        let event = phone.event(built_on).unwrap();
        assert_eq!(event.fields.get("persons_total"), Some(&Value::Int(11)));
        assert_eq!(event.fields.get("operational_state").and_then(Value::as_text), Some("resolved"));
        assert_eq!(phone.digest(), scene.east.digest());
    }
    // The revoked one comes back, which changes nothing, and neither does a discard.
    scene.seized.connect();
    until("the phone has handed over everything", PATIENCE, || {
        (scene.seized.status().unsent_records == 0).then_some(())
    });
    scene.relay.ask(&["quarantine", "discard", "seized", "--yes"]);
    until("the discard is everywhere", PATIENCE, || (kept_apart(&witness) == 0).then_some(()));
    witness.wait_synced();
    let mut new = Phone::enrol(&scene.relay, scene.folder.path(), "new");
    new.sync_once();
    for phone in [&scene.east, &witness, &new] {
        assert_eq!((phone.events().len(), phone.digest()), (BEFORE + 1, scene.east.digest()));
    }
    assert_clean(&scene.relay);
}
