//! Photos from a phone over links that break, and with both ends killed: every one arrives, nothing is
//! sent over and over, and records do not wait for them.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use barid_core::id::{AttachmentHash, SpaceId};
use harness::phone::{PATIENCE, Phone, PhoneFiles};
use harness::photos::{Backlog, send_backlog, take_photos};
use harness::relay::Relay;
use harness::wait::until;

/// Where the relay keeps an attachment when it is whole.
fn file(relay: &Relay, space: SpaceId, hash: AttachmentHash) -> PathBuf {
    let hash = hash.to_string();
    relay.folder().join("attachments").join(space.to_string()).join(&hash[..2]).join(hash)
}

/// The link is 64 kbit/s and breaks every five seconds, as in the field; the photos are fewer and smaller,
/// to be done in a minute and a half: 20 of 20 kB. `cargo run --release --package barid-tests --bin photos`
/// has the hundred of 300 kB.
#[test]
fn a_backlog_of_photos_gets_through_a_link_that_keeps_breaking_and_records_do_not_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    phone.sync_once();
    let photos = take_photos(&phone, 0..20, 20_000);
    let outcome = send_backlog(
        &mut phone,
        Backlog {
            photos: 20,
            photo_len: 20_000,
            bits_per_second: 64_000,
            holds: Duration::from_secs(5),
            gone: Duration::from_millis(500),
            patience: Duration::from_secs(240),
        },
    );
    println!("{outcome:#?}\n{:.2} % sent twice", 100.0 * outcome.again());
    assert!(outcome.links >= 5, "the link broke often enough to mean something");
    assert!(outcome.received_len >= outcome.needed_len);
    assert!(outcome.again() < 0.02, "{:.2} % sent twice", 100.0 * outcome.again());
    assert!(outcome.slowest() < Duration::from_secs(4), "{:?}", outcome.slowest());
    for (_, hash) in photos {
        let bytes = std::fs::read(file(&relay, phone.space, hash)).unwrap();
        assert_eq!(AttachmentHash::of(&bytes), hash);
    }
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(is_clean, "{printed}");
}

#[test]
fn photos_are_lost_by_neither_end_however_often_both_are_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let files = PhoneFiles::new(folder.path(), "victim");
    let space = Phone::enrol(&relay, folder.path(), "victim").space;
    let mut promised = BTreeSet::new();
    let link = harness::link::Link::to(relay.port()).unwrap();
    link.set_bits_per_second(400_000);
    for kill in 0..12u64 {
        let mut process = Command::new(env!("CARGO_BIN_EXE_photographer"))
            .arg(&files.database)
            .arg(barid_core::id::to_hex(&files.seed))
            .arg(format!("ws://127.0.0.1:{}", link.port()))
            .args([promised.len().to_string(), "30000".to_owned()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let reading = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
        sleep(Duration::from_millis(600 + kill * 137 % 500));
        if kill % 3 != 0 {
            relay.kill();
        }
        sleep(Duration::from_millis(kill * 53 % 100));
        process.kill().unwrap();
        process.wait().unwrap();
        promised.extend(reading.join().unwrap());
        if kill % 3 != 0 {
            relay.start();
        }
    }
    let hashes: BTreeSet<AttachmentHash> =
        promised.iter().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    println!("{} photos promised over 12 kills of a phone and 8 of the relay", hashes.len());
    assert!(hashes.len() >= 12);
    let mut victim = Phone::again(&relay, &files);
    victim.connect();
    until("every photo is at the relay", PATIENCE, || {
        (victim.device.store().unsent_attachments().unwrap().len == 0).then_some(())
    });
    victim.wait_synced();
    for hash in hashes {
        let bytes = std::fs::read(file(&relay, space, hash)).unwrap();
        assert_eq!(AttachmentHash::of(&bytes), hash);
    }
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(is_clean, "{printed}");
}
