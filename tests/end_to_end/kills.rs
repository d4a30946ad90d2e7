//! `kill -9` in the middle: nothing acknowledged and nothing recorded is lost.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use harness::phone::{PATIENCE, Phone, PhoneFiles, event_fields};
use harness::relay::Relay;
use harness::wait::until;

const KILLS: u64 = 20;

#[test]
fn a_relay_killed_in_the_middle_of_uploads_keeps_everything_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    // Slow enough that a kill falls into an upload.
    phone.link.set_bits_per_second(2_000_000);
    let mut recorded = 0;
    let mut killed_while_sending = 0;
    for kill in 0..KILLS {
        for _ in 0..400 {
            phone.put_event(event_fields(recorded));
            recorded += 1;
        }
        phone.connect();
        sleep(Duration::from_millis(20 + kill * 13 % 150));
        killed_while_sending += u64::from(phone.status().unsent_records > 0);
        relay.kill();
        phone.disconnect();
        let unsent = phone.device.store().counts().unwrap().unsent_records;
        let acknowledged = recorded as u64 - unsent;
        relay.start();
        let stored = relay.stored_changes();
        assert!(stored >= acknowledged, "kill {kill}: {stored} stored, {acknowledged} acknowledged");
    }
    println!("{killed_while_sending} of {KILLS} kills fell into an upload");
    assert!(killed_while_sending >= KILLS / 2, "only {killed_while_sending} kills fell into an upload");
    phone.link.set_bits_per_second(0);
    phone.connect();
    phone.wait_synced();
    let mut reader = Phone::enrol(&relay, folder.path(), "reader");
    reader.sync_once();
    assert_eq!(reader.events().len(), recorded);
    assert_eq!(reader.digest(), phone.digest());
}

#[test]
fn a_phone_killed_while_recording_and_sending_keeps_everything_it_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let files = PhoneFiles::new(folder.path(), "victim");
    drop(Phone::enrol(&relay, folder.path(), "victim"));
    // Enrolment went through a link that is gone now.
    let mut promised = BTreeSet::new();
    for kill in 0..KILLS {
        let mut process = Command::new(env!("CARGO_BIN_EXE_phone"))
            .arg(&files.database)
            .arg(barid_core::id::to_hex(&files.seed))
            .arg(format!("ws://127.0.0.1:{}", relay.port()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let reading = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
        sleep(Duration::from_millis(150 + kill * 31 % 200));
        process.kill().unwrap();
        process.wait().unwrap();
        promised.extend(reading.join().unwrap());
        let device = files.open();
        let space = device.enrolment().unwrap().unwrap().spaces[0];
        for id in &promised {
            let id = id.parse().unwrap();
            assert!(device.store().get(space, "event", id).unwrap().is_some(), "kill {kill}: {id} is lost");
        }
    }
    println!("{} records promised by a phone killed {KILLS} times", promised.len());
    assert!(promised.len() > KILLS as usize);
    let mut victim = Phone::again(&relay, &files);
    victim.sync_once();
    let mut reader = Phone::enrol(&relay, folder.path(), "reader");
    reader.connect();
    until("everything promised arrives, once", PATIENCE, || {
        reader.wait_synced();
        let held: Vec<String> = reader.events().iter().map(|event| event.id.to_string()).collect();
        let once: BTreeSet<String> = held.iter().cloned().collect();
        (promised.is_subset(&once) && once.len() == held.len()).then_some(())
    });
    assert_eq!(reader.digest(), victim.digest());
}
