//! A phone whose database comes back from an older copy, or runs on two phones.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use barid_core::batch::{Lane, SealedBatch};
use barid_core::id::BatchId;
use barid_core::identity::Identity;
use barid_core::model::Value;
use harness::forge::Chain;
use harness::phone::{PATIENCE, Phone, PhoneFiles, event_fields};
use harness::raw_link::RawLink;
use harness::relay::Relay;
use harness::wait::until;

fn beside(database: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", database.display()))
}

/// Copies a closed database, and the token beside it if it is to look like the same file.
fn copy(from: &Path, to: &Path, with_token: bool) {
    for ending in ["-wal", "-shm", ".token"] {
        fs::remove_file(beside(to, ending)).ok();
    }
    assert!(!beside(from, "-wal").exists(), "closed, so it is all in one file");
    fs::copy(from, to).unwrap();
    if with_token {
        fs::copy(beside(from, ".token"), beside(to, ".token")).unwrap();
    }
}

fn record(phone: &Phone, numbers: std::ops::Range<usize>) {
    for number in numbers {
        phone.put_event(event_fields(number));
    }
}

fn assert_whole(relay: &Relay, phones: &[&Phone], events: usize, changes: usize) {
    until("all phones hold the same", PATIENCE, || {
        (phones.iter().all(|phone| phone.digest() == phones[0].digest())).then_some(())
    });
    for phone in phones {
        let held = phone.events();
        assert_eq!(held.iter().map(|event| event.id).collect::<BTreeSet<_>>().len(), events);
        assert!(held.iter().all(|event| event.delivered && event.conflicts == 0));
        let counts = phone.device.store().counts().unwrap();
        assert_eq!((counts.orphans, counts.unsent_changes, counts.waiting, counts.refused), (0, 0, 0, 0));
    }
    assert_eq!(relay.stored_changes(), changes as u64, "everything is in the log once");
}

#[test]
fn a_phone_restored_from_an_older_copy_goes_on_by_itself_and_nothing_is_lost_or_sent_twice() {
    for with_token in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let relay = Relay::new(folder.path());
        let files = PhoneFiles::new(folder.path(), "east");
        let mut west = Phone::enrol(&relay, folder.path(), "west");
        let mut east = Phone::enrol(&relay, folder.path(), "east");
        record(&east, 0..30);
        east.sync_once();
        record(&east, 30..60);
        drop(east);
        let backup = folder.path().join("backup.db");
        copy(&files.database, &backup, with_token);

        let mut east = Phone::again(&relay, &files);
        record(&east, 60..90);
        east.sync_once();
        drop(east);

        copy(&backup, &files.database, with_token);
        let mut east = Phone::again(&relay, &files);
        record(&east, 90..120);
        east.sync_once();
        west.sync_once();
        east.sync_once();
        assert_whole(&relay, &[&east, &west], 120, 120);
        let (is_clean, printed) = Relay::check(relay.folder());
        assert!(is_clean, "{printed}");
    }
}

#[test]
fn a_database_on_two_phones_becomes_two_and_both_say_the_same() {
    for with_token in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let relay = Relay::new(folder.path());
        let files = PhoneFiles::new(folder.path(), "east");
        let twin_files = PhoneFiles { database: folder.path().join("twin.db"), seed: files.seed };
        let mut west = Phone::enrol(&relay, folder.path(), "west");
        let mut east = Phone::enrol(&relay, folder.path(), "east");
        record(&east, 0..20);
        let edited = east.put_event(event_fields(20));
        east.sync_once();
        drop(east);
        copy(&files.database, &twin_files.database, with_token);

        let mut east = Phone::again(&relay, &files);
        let mut twin = Phone::again(&relay, &twin_files);
        for round in 0..3 {
            let from = 100 * (round + 1);
            record(&east, from..from + 10);
            east.patch_event(edited, [(["by_east0", "by_east1", "by_east2"][round], Value::from("e"))]);
            record(&twin, from + 50..from + 60);
            twin.patch_event(edited, [(["by_twin0", "by_twin1", "by_twin2"][round], Value::from("t"))]);
            east.sync_once();
            twin.sync_once();
        }
        for phone in [&mut east, &mut twin, &mut west] {
            phone.sync_once();
        }
        assert_ne!(east.device.store().incarnation(), twin.device.store().incarnation());
        assert_whole(&relay, &[&east, &twin, &west], 81, 87);
        let fields = west.event(edited).unwrap().fields;
        assert_eq!(fields.keys().filter(|name| name.starts_with("by_")).count(), 6);
        let (is_clean, printed) = Relay::check(relay.folder());
        assert!(is_clean, "{printed}");
    }
}

/// The first batch of entries in a relay's log.
fn first_entries(relay: &Relay) -> BatchId {
    let log = rusqlite::Connection::open(relay.folder().join("log.db")).unwrap();
    let sql = "SELECT id FROM batch WHERE kind = 1 AND bytes IS NOT NULL ORDER BY batch_offset LIMIT 1";
    log.query_row(sql, [], |row| row.get(0).map(BatchId::from_bytes)).unwrap()
}

#[test]
fn what_another_branch_displaces_while_its_phone_is_linked_is_written_again_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let [east_files, carrier_files] = ["east", "carrier"].map(|name| PhoneFiles::new(folder.path(), name));
    let mut east = Phone::enrol(&relay, folder.path(), "east");
    let mut carrier = Phone::enrol(&relay, folder.path(), "carrier");
    carrier.sync_once();
    east.connect();
    let event = east.put_event(event_fields(1));
    east.wait_synced();

    // What this phone wrote at the same place before it was set back, and another has carried since.
    let key = Identity::from_seed(east_files.seed);
    let place = Chain {
        key: &key,
        incarnation: east.device.store().incarnation(),
        space: east.space,
        lane: Lane::Normal,
        seq: 0,
        prev: BatchId::from_bytes([0; 32]),
    };
    let stands = first_entries(&relay);
    let displacing = (0..=u16::MAX)
        .map(|number| Chain { ..place }.next(&[[&[200][..], &number.to_be_bytes()].concat()]))
        .find(|batch| SealedBatch::parse(batch.clone()).unwrap().id() < stands)
        .unwrap();
    let mut link = RawLink::open(relay.port());
    link.handshake(&carrier.device, &carrier_files);
    link.push(&displacing).unwrap();
    assert_ne!(first_entries(&relay), stands);

    let mut west = Phone::enrol(&relay, folder.path(), "west");
    west.connect();
    until("what was displaced is in the log again", PATIENCE, || west.event(event).map(|_| ()));
    east.wait_synced();
    assert_ne!(east.device.store().incarnation(), place.incarnation);
    assert!(east.event(event).unwrap().delivered);
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(is_clean, "{printed}");
}
