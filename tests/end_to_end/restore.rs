//! A relay that lost what phones had sent: from a backup, or because its folder was copied back.

use std::collections::BTreeSet;
use std::path::Path;

use harness::browser::Browser;
use harness::phone::{PATIENCE, Phone, event_fields};
use harness::relay::Relay;
use harness::wait::until;

/// Records that are there before the loss, and that are lost.
const BEFORE: usize = 200;
const LOST: usize = 500;

fn record(phone: &Phone, from: usize, count: usize) {
    for number in from..from + count {
        phone.put_event(event_fields(number));
    }
}

/// Two phones, online, hold everything, and say the same.
fn wait_equal(phones: [&Phone; 2], records: usize) {
    until("both phones hold the same", PATIENCE, || {
        phones.iter().for_each(|phone| phone.wait_synced());
        let is_equal = phones[0].digest() == phones[1].digest();
        (is_equal && phones[0].events().len() == records).then_some(())
    });
}

/// Everything is everywhere, once: on both phones, in the log, in the views.
fn assert_whole(relay: &Relay, phones: [&Phone; 2], records: usize) {
    for phone in phones {
        let events = phone.events();
        assert_eq!(events.len(), records);
        assert_eq!(events.iter().map(|event| event.id).collect::<BTreeSet<_>>().len(), records);
        assert!(events.iter().all(|event| event.delivered));
    }
    assert_eq!(relay.stored_changes(), records as u64, "nothing is in the log twice");
    let browser = Browser::login(relay);
    until("the views show all of it", PATIENCE, || {
        (browser.all("/api/events").len() == records).then_some(())
    });
    // Signatures, chains, offsets; and the views equal a replay of the log.
    assert_clean(relay.folder());
}

fn assert_clean(folder: &Path) {
    let (is_clean, printed) = Relay::check(folder);
    assert!(is_clean, "{printed}");
}

#[test]
fn a_relay_restored_from_a_backup_is_given_back_everything_that_came_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let mut east = Phone::enrol(&relay, folder.path(), "east");
    let mut west = Phone::enrol(&relay, folder.path(), "west");

    // The backup is made while a phone sends.
    record(&east, 0, BEFORE);
    east.link.set_bits_per_second(1_000_000);
    east.connect();
    west.connect();
    let backup = folder.path().join("backup");
    relay.back_up(&backup);
    east.link.set_bits_per_second(0);
    wait_equal([&east, &west], BEFORE);
    record(&east, BEFORE, LOST / 2);
    record(&west, BEFORE + LOST / 2, LOST / 2);
    wait_equal([&east, &west], BEFORE + LOST);
    assert_whole(&relay, [&east, &west], BEFORE + LOST);
    let digest = east.digest();

    east.disconnect();
    west.disconnect();
    relay.kill();
    relay.restore(&backup, &folder.path().join("restored"));
    assert_clean(relay.folder());
    assert!(relay.stored_changes() <= BEFORE as u64, "the backup is older than what is lost");
    relay.start();
    east.connect();
    west.connect();
    wait_equal([&east, &west], BEFORE + LOST);
    until("500 of 500 return", PATIENCE, || (relay.stored_changes() == (BEFORE + LOST) as u64).then_some(()));
    assert_whole(&relay, [&east, &west], BEFORE + LOST);
    assert_eq!(east.digest(), digest);

    // It is a relay like any other: it enrols, and gives everything to whoever is new.
    let mut late = Phone::enrol(&relay, folder.path(), "late");
    late.sync_once();
    assert_eq!(late.digest(), digest);
}

#[test]
fn a_phone_enrolled_after_the_backup_is_enrolled_again_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let mut old = Phone::enrol(&relay, folder.path(), "old");
    record(&old, 0, 10);
    old.sync_once();
    let backup = folder.path().join("backup");
    relay.back_up(&backup);
    let mut new = Phone::enrol(&relay, folder.path(), "new");
    record(&new, 10, 10);
    new.sync_once();
    old.sync_once();
    relay.stop();
    relay.restore(&backup, &folder.path().join("restored"));
    relay.start();

    record(&new, 20, 10);
    let code = relay.code(harness::relay::ORGANISATION, "new", new.link.port());
    new.link.restore();
    new.device.enrol(&code, "new").unwrap();
    new.connect();
    old.connect();
    wait_equal([&new, &old], 30);
    assert_whole(&relay, [&new, &old], 30);
}

#[test]
fn a_relay_whose_folder_was_copied_back_is_found_out_and_given_back_everything() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let mut east = Phone::enrol(&relay, folder.path(), "east");
    let mut west = Phone::enrol(&relay, folder.path(), "west");
    record(&east, 0, BEFORE);
    east.connect();
    west.connect();
    wait_equal([&east, &west], BEFORE);
    east.disconnect();
    west.disconnect();
    relay.stop();
    let older = folder.path().join("older");
    copy_folder(relay.folder(), &older);

    relay.start();
    east.connect();
    west.connect();
    record(&east, BEFORE, LOST / 2);
    record(&west, BEFORE + LOST / 2, LOST / 2);
    wait_equal([&east, &west], BEFORE + LOST);
    let digest = east.digest();
    east.disconnect();
    west.disconnect();
    relay.kill();
    std::fs::remove_dir_all(relay.folder()).unwrap();
    copy_folder(&older, relay.folder());
    assert_clean(relay.folder());
    assert_eq!(relay.stored_changes(), BEFORE as u64);

    relay.start();
    // One comes back first and makes the log as long as it was, with other batches at its offsets.
    west.connect();
    west.wait_synced();
    record(&west, BEFORE + LOST, 1);
    west.wait_synced();
    east.connect();
    wait_equal([&east, &west], BEFORE + LOST + 1);
    assert_ne!(east.digest(), digest);
    assert_whole(&relay, [&east, &west], BEFORE + LOST + 1);
}

#[test]
fn a_check_says_what_is_wrong_and_where_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    record(&phone, 0, 10);
    phone.sync_once();
    relay.stop();
    let log = relay.folder().join("log.db");
    // Into one file, which can be put back.
    let folding = rusqlite::Connection::open(&log).unwrap();
    folding.pragma_update(None, "journal_mode", "DELETE").unwrap();
    drop(folding);
    let sound = std::fs::read(&log).unwrap();
    let harm = rusqlite::Connection::open(&log).unwrap();
    let batch = "SELECT number, bytes FROM batch WHERE kind = 1";
    let (number, mut bytes): (i64, Vec<u8>) =
        harm.query_row(batch, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    harm.execute("UPDATE batch SET bytes = ?2 WHERE number = ?1", (number, bytes)).unwrap();
    drop(harm);
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(!is_clean && printed.contains("offset"), "{printed}");

    put_back(&log, &sound);
    assert_clean(relay.folder());
    rusqlite::Connection::open(&log).unwrap().execute("DELETE FROM batch WHERE kind = 1", []).unwrap();
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(!is_clean && printed.contains("head"), "{printed}");

    put_back(&log, &sound[..sound.len() / 2]);
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(!is_clean && printed.contains("log.db"), "{printed}");
}

/// Writes a database that nobody has open, without what SQLite kept beside the one before.
fn put_back(path: &Path, bytes: &[u8]) {
    for ending in ["-wal", "-shm"] {
        std::fs::remove_file(format!("{}{ending}", path.display())).ok();
    }
    std::fs::write(path, bytes).unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
