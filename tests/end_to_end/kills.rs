//! `kill -9` in the middle: nothing acknowledged and nothing recorded is lost.
//!
//! `BARID_KILLS=1000` makes it a thousand of each; a run of the tests does a few.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use barid_core::store::WriteGroup;
use harness::phone::{PATIENCE, Phone, PhoneFiles, event_fields};
use harness::relay::Relay;
use harness::wait::until;

fn kills() -> u64 {
    std::env::var("BARID_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// SQLite's own check of a database that nobody has open.
fn assert_intact(database: &Path) {
    let connection = rusqlite::Connection::open(database).unwrap();
    let found: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(found, "ok", "{}", database.display());
}

/// Records so many events with one write.
fn record(phone: &Phone, from: usize, count: usize) {
    let space = phone.space;
    let put_all = |group: &mut WriteGroup<'_, '_>| {
        for number in from..from + count {
            group.put(space, "event", None, event_fields(number))?;
        }
        Ok(())
    };
    phone.device.store().write(put_all).unwrap();
}

#[test]
fn a_relay_killed_in_the_middle_of_uploads_keeps_everything_it_acknowledged() {
    let kills = kills();
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let mut phone = Phone::enrol(&relay, folder.path(), "phone");
    // Slow enough that a kill falls into an upload.
    phone.link.set_bits_per_second(500_000);
    let (mut recorded, mut while_sending) = (0, 0);
    // Before anything of what was under way was stored, in the middle, after all of it.
    let mut fell = (0, 0, 0);
    for kill in 0..kills {
        // So many are under way that a kill falls into them, and no more are left over.
        let unsent = phone.device.store().counts().unwrap().unsent_records;
        let more = 400usize.saturating_sub(unsent as usize);
        for _ in 0..more / 20 {
            record(&phone, recorded, 20);
            recorded += 20;
        }
        let before = relay.stored_changes();
        phone.connect();
        // A quarter at once, half in the middle for certain, however busy the machine is, and a quarter
        // at the end: when everything was acknowledged, or five seconds later.
        let all = phone.device.store().counts().unwrap().unsent_records;
        let wait_for = |unsent_max: u64| {
            let begun = Instant::now();
            let unsent = || phone.device.store().counts().unwrap().unsent_records;
            while unsent() > unsent_max && begun.elapsed() < Duration::from_secs(5) {
                sleep(Duration::from_millis(1));
            }
        };
        match kill % 4 {
            0 => sleep(Duration::from_millis(kill * 13 % 60)),
            3 => wait_for(0),
            _ => {
                wait_for(all - 1);
                sleep(Duration::from_millis(kill * 13 % 60));
            }
        }
        while_sending += u64::from(phone.status().unsent_records > 0);
        relay.kill();
        phone.disconnect();
        let unsent = phone.device.store().counts().unwrap().unsent_records;
        let acknowledged = recorded as u64 - unsent;
        assert_intact(&relay.folder().join("log.db"));
        relay.start();
        let stored = relay.stored_changes();
        assert!(stored >= acknowledged, "kill {kill}: {stored} stored, {acknowledged} acknowledged");
        match stored {
            none if none == before => fell.0 += 1,
            all if all == recorded as u64 => fell.2 += 1,
            _ => fell.1 += 1,
        }
    }
    println!(
        "{kills} kills of the relay: {while_sending} while a phone was sending; {} before anything of it was \
         stored, {} in the middle, {} after all of it; {recorded} records, 0 of the acknowledged lost",
        fell.0, fell.1, fell.2
    );
    assert!(while_sending >= kills / 2, "only {while_sending} kills fell into an upload");
    assert!(fell.1 >= kills / 4, "only {} kills fell between what was stored and what was not", fell.1);
    phone.link.set_bits_per_second(0);
    let patience = PATIENCE + Duration::from_millis(500) * u32::try_from(kills).unwrap();
    let mut reader = Phone::enrol(&relay, folder.path(), "reader");
    for phone in [&mut phone, &mut reader] {
        phone.connect();
        phone.wait_synced_within(patience);
        phone.disconnect();
    }
    assert_eq!(reader.events().len(), recorded);
    assert_eq!(reader.digest(), phone.digest());
    relay.stop();
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(is_clean, "{printed}");
}

#[test]
fn a_phone_killed_while_recording_and_sending_keeps_everything_it_recorded() {
    let kills = kills();
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    let files = PhoneFiles::new(folder.path(), "victim");
    drop(Phone::enrol(&relay, folder.path(), "victim"));
    // Enrolment went through a link that is gone now.
    let mut promised = BTreeSet::new();
    // Before this life had recorded anything, before anything was acknowledged in it, after.
    let (mut fell, mut unsent) = ((0, 0, 0), 0);
    for kill in 0..kills {
        let mut process = Command::new(env!("CARGO_BIN_EXE_phone"))
            .arg(&files.database)
            .arg(barid_core::id::to_hex(&files.seed))
            .arg(format!("ws://127.0.0.1:{}", relay.port()))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let reading = std::thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
        sleep(Duration::from_millis(120 + kill * 31 % 200));
        process.kill().unwrap();
        process.wait().unwrap();
        let new = reading.join().unwrap();
        assert_intact(&files.database);
        let device = files.open();
        let before = std::mem::replace(&mut unsent, device.store().counts().unwrap().unsent_records);
        match new.len() as u64 {
            0 => fell.0 += 1,
            recorded if unsent >= before + recorded => fell.1 += 1,
            _ => fell.2 += 1,
        }
        let space = device.enrolment().unwrap().unwrap().spaces[0];
        // All of the last life each time, of those before now and then: they are many.
        let is_thorough = kill % 50 == 49 || kill + 1 == kills;
        promised.extend(new.iter().cloned());
        let looked_at: Vec<&String> =
            if is_thorough { promised.iter().collect() } else { new.iter().collect() };
        for id in looked_at {
            let id = id.parse().unwrap();
            assert!(device.store().get(space, "event", id).unwrap().is_some(), "kill {kill}: {id} is lost");
        }
    }
    println!(
        "{kills} kills of a phone: {} before it had recorded anything in that life, {} before anything was \
         acknowledged in it, {} after; {} records promised, 0 lost",
        fell.0,
        fell.1,
        fell.2,
        promised.len()
    );
    assert!(fell.2 >= kills / 4, "only {} kills fell between what was acknowledged and what was not", fell.2);
    assert!(promised.len() > kills as usize);
    let mut victim = Phone::again(&relay, &files);
    // So many records take their time.
    let patience = PATIENCE + Duration::from_millis(500) * u32::try_from(kills).unwrap();
    victim.connect();
    victim.wait_synced_within(patience);
    victim.disconnect();
    let mut reader = Phone::enrol(&relay, folder.path(), "reader");
    reader.connect();
    until("everything promised arrives, once", patience, || {
        reader.wait_synced_within(patience);
        let held: Vec<String> = reader.events().iter().map(|event| event.id.to_string()).collect();
        let once: BTreeSet<String> = held.iter().cloned().collect();
        (promised.is_subset(&once) && once.len() == held.len()).then_some(())
    });
    assert_eq!(reader.digest(), victim.digest());
}

#[test]
fn a_relay_asked_to_stop_under_load_ends_within_two_seconds_and_keeps_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut relay = Relay::new(folder.path());
    let mut phones = ["one", "two", "three"].map(|name| Phone::enrol(&relay, folder.path(), name));
    let (mut recorded, mut times) = (0, Vec::new());
    for stop in 0..5 {
        for phone in &mut phones {
            phone.link.set_bits_per_second(4_000_000);
            for _ in 0..20 {
                record(phone, recorded, 20);
                recorded += 20;
            }
            phone.connect();
        }
        sleep(Duration::from_millis(100 + stop * 60));
        let begun = Instant::now();
        assert!(relay.stop().success());
        let took = begun.elapsed();
        phones.iter_mut().for_each(Phone::disconnect);
        let unsent: u64 =
            phones.iter().map(|phone| phone.device.store().counts().unwrap().unsent_records).sum();
        println!("asked to stop with {unsent} records on their way: ended after {took:.2?}");
        times.push(took);
        assert!(relay.stored_changes() >= recorded as u64 - unsent, "acknowledged and not stored");
        assert_intact(&relay.folder().join("log.db"));
        let log = relay.folder().join("log.db-wal");
        assert!(!log.exists() || log.metadata().unwrap().len() == 0, "the write-ahead log was folded in");
        relay.start();
    }
    times.sort();
    // A machine that is busy with other tests takes its time.
    assert!(times[2] <= Duration::from_secs(2) && times[4] <= Duration::from_secs(5), "{times:?}");
    for phone in &mut phones {
        phone.link.set_bits_per_second(0);
        phone.sync_once();
    }
    assert_eq!(relay.stored_changes(), recorded as u64);
}
