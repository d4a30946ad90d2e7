//! Two phones apart, then together.

use std::collections::BTreeSet;

use barid_core::id::RecordId;
use barid_core::store::{Store, StoreConfig};
use harness::browser::Browser;
use harness::phone::{PATIENCE, Phone, event_fields};
use harness::relay::Relay;
use harness::wait::until;

#[test]
fn two_phones_apart_converge_keep_both_edits_and_show_a_conflict_until_it_is_decided() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    relay.add_organisation("Desert Rescue", "الإنقاذ الصحراوي");
    let mut east = Phone::enrol(&relay, folder.path(), "east");
    let mut west = Phone::enrol_with(&relay, folder.path(), "west", "Desert Rescue");

    let shared: Vec<RecordId> = (0..100).map(|number| east.put_event(event_fields(number))).collect();
    east.sync_once();
    west.sync_once();

    // Apart: 2,000 records each, edits of different fields of the same 100, and one same field.
    for number in 0..2000 {
        east.put_event(event_fields(1000 + number));
        west.put_event(event_fields(10_000 + number));
    }
    for id in &shared {
        east.patch_event(*id, [("note", "كُتب في الشرق".into())]);
        west.patch_event(*id, [("operational_state", "active".into())]);
    }
    east.patch_event(shared[0], [("title", "from the east".into())]);
    west.patch_event(shared[0], [("title", "من الغرب".into())]);

    east.connect();
    west.connect();
    until("both phones hold the same", PATIENCE, || {
        east.wait_synced();
        west.wait_synced();
        (east.digest() == west.digest() && east.events().len() == 4100).then_some(())
    });

    for phone in [&east, &west] {
        let events = phone.events();
        assert_eq!(events.iter().map(|event| event.id).collect::<BTreeSet<_>>().len(), 4100);
        for id in &shared {
            let event = phone.event(*id).unwrap();
            assert_eq!(event.fields["note"].as_text(), Some("كُتب في الشرق"));
            assert_eq!(event.fields["operational_state"].as_text(), Some("active"));
            assert!(event.delivered);
        }
        let conflicts = phone.device.store().conflicts(phone.space, "event", shared[0]).unwrap();
        assert_eq!(conflicts.len(), 1);
        assert_eq!(conflicts[0].field, "title");
        let values: BTreeSet<_> =
            conflicts[0].values.iter().filter_map(|v| v.value.as_ref()?.as_text()).collect();
        assert_eq!(values, BTreeSet::from(["from the east", "من الغرب"]));
        let devices: BTreeSet<_> = conflicts[0].values.iter().map(|value| value.device).collect();
        assert_eq!(devices, BTreeSet::from([east.device.id(), west.device.id()]));
    }

    // The coordinator sees it, with both values, until a phone decides.
    let browser = Browser::login(&relay);
    let path = format!("/api/events/{}/event/{}", east.space, shared[0]);
    until("the view shows both values", PATIENCE, || {
        let shown = browser.get(&path).json();
        let values = shown["conflict_fields"][0]["values"].as_array()?.len();
        (values == 2).then_some(())
    });
    assert_eq!(browser.all("/api/events?conflicts=true").len(), 1);
    west.patch_event(shared[0], [("title", "both were right".into())]);
    until("the decision reaches the other phone and the view", PATIENCE, || {
        let decided = east.event(shared[0]).unwrap().conflicts == 0;
        let shown = browser.get(&path).json();
        (decided && shown["conflicts"] == 0 && shown["title"] == "both were right").then_some(())
    });
    assert_eq!(browser.all("/api/events").len(), 4100);

    // The view is a replica too: opened at rest, it says what the phones say.
    until("both phones hold the same", PATIENCE, || (east.digest() == west.digest()).then_some(()));
    let digest = east.digest();
    relay.stop();
    let views = Store::open(StoreConfig::replica(relay.folder().join("views.db"))).unwrap();
    assert_eq!(views.digest(east.space).unwrap(), digest);
}
