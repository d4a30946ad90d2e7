//! What a member with a valid key may send: each bomb goes off where it does no harm.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use barid_core::id::SpaceId;
use barid_core::identity::Identity;
use barid_core::store::{Store, StoreConfig};
use harness::bombs::{Bomb, Fate, corpus};
use harness::browser::Browser;
use harness::phone::{PATIENCE, Phone, PhoneFiles, event_fields};
use harness::process::Meter;
use harness::raw_link::RawLink;
use harness::relay::Relay;
use harness::wait::until;

/// What one batch may cost whoever takes it in.
const TIME_MAX: Duration = Duration::from_secs(1);
const MEMORY_LEN_MAX: u64 = 64 * 1024 * 1024;

/// The offset up to which the views have come, and the log's head.
fn views_and_log(relay: &Relay, space: SpaceId) -> (u64, u64) {
    let read = || {
        Store::open_read_only(StoreConfig::replica(relay.folder().join("views.db")))
            .ok()?
            .cursor(space)
            .ok()?
    };
    let views = read().map_or(0, |cursor| cursor.offset);
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let log = rusqlite::Connection::open_with_flags(relay.folder().join("log.db"), flags).unwrap();
    let sql = "SELECT head FROM space WHERE id = ?1";
    let head: i64 = log.query_row(sql, [space.as_bytes()], |row| row.get(0)).unwrap();
    (views, head as u64)
}

fn wait_viewed(relay: &Relay, space: SpaceId) {
    until("the views have come to the end of the log", PATIENCE, || {
        let (views, head) = views_and_log(relay, space);
        (views == head).then_some(())
    });
}

/// Records one event after the other and waits until each is acknowledged; how long each took.
fn record_until(phone: &Phone, space: SpaceId, over: &AtomicBool) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let begun = Instant::now();
        let fields = event_fields(number);
        let id = phone.device.store().write(|group| group.put(space, "event", None, fields)).unwrap();
        until("a good event is acknowledged", PATIENCE, || {
            let held = phone.device.store().get(space, "event", id).unwrap();
            held.is_some_and(|event| event.delivered).then_some(())
        });
        times.push(begun.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    times.sort();
    times
}

#[test]
fn every_bomb_of_a_member_is_refused_or_passed_over_and_nobody_else_notices() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::new(folder.path());
    relay.add_organisation("Red Crescent", "الهلال الأحمر");
    let files = PhoneFiles::new(folder.path(), "rogue");
    let mut rogue = Phone::enrol(&relay, folder.path(), "rogue");
    rogue.sync_once();
    let mut good = Phone::enrol(&relay, folder.path(), "good");
    let mut elsewhere = Phone::enrol_with(&relay, folder.path(), "elsewhere", "Red Crescent");
    let other_space = elsewhere.device.enrolment().unwrap().unwrap().spaces[1];
    assert_ne!(other_space, good.space);
    for phone in [&mut good, &mut elsewhere] {
        phone.connect();
        phone.wait_synced();
    }
    wait_viewed(&relay, good.space);
    let worker = relay.worker();
    let key = Identity::from_seed(files.seed);
    let bombs = corpus(&key, good.space);

    let over = AtomicBool::new(false);
    let (good_times, other_times) = std::thread::scope(|scope| {
        let recording = [(&good, good.space), (&elsewhere, other_space)].map(|(phone, space)| {
            let over = &over;
            scope.spawn(move || record_until(phone, space, over))
        });
        let link = || {
            let mut link = RawLink::open(relay.port());
            link.handshake(&rogue.device, &files);
            link
        };
        let mut open = link();
        let set_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            bombs.iter().for_each(|bomb| set_off(bomb, &mut open, &link, &relay, worker, good.space));
        }));
        over.store(true, Ordering::Relaxed);
        let times = recording.map(|thread| thread.join().unwrap());
        set_off.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        times.into()
    });
    for (who, times) in [("the same space", &good_times), ("another space", &other_times)] {
        let (half, last) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "meanwhile, in {who}: {} events, acknowledged within {half:.1?} (half), {last:.1?} (all)",
            times.len()
        );
        assert!(half < Duration::from_secs(1) && last < Duration::from_secs(10), "in {who}: {last:?}");
    }
    assert_eq!(relay.worker(), worker, "the worker has not died");
    let browser = Browser::login(&relay);
    assert_eq!(browser.get("/api/stats").json()["set_aside"], 0);
    for path in ["/api/events", "/api/patrols"] {
        browser.all(path);
    }
    for path in ["/api/positions", "/api/devices", "/api/spaces"] {
        assert_eq!(browser.get(path).status, 200, "{path}");
    }
    // A phone takes in all that the relay took.
    let mut late = Phone::enrol(&relay, folder.path(), "late");
    let begun = Instant::now();
    late.sync_once();
    println!("a phone took in the whole log in {:.1?}", begun.elapsed());
    good.wait_synced();
    assert_eq!(late.digest(), good.digest());
    let (is_clean, printed) = Relay::check(relay.folder());
    assert!(is_clean, "{printed}");
}

/// Sends a bomb and measures the relay and its worker until they are done with it.
fn set_off(
    bomb: &Bomb,
    open: &mut RawLink,
    link: &dyn Fn() -> RawLink,
    relay: &Relay,
    worker: u32,
    space: SpaceId,
) {
    for batch in &bomb.batches {
        let meters = [("relay", Meter::begin(relay.process())), ("worker", Meter::begin(worker))];
        let answer = open.push(batch);
        if answer.is_none() {
            *open = link();
        }
        let taken = answer.as_ref().is_some_and(|frame| frame[0] == 0x11);
        if bomb.fate != Fate::Judged {
            assert_eq!(taken, bomb.fate != Fate::Refused, "{}: {answer:02x?}", bomb.name);
        }
        wait_viewed(relay, space);
        for (who, meter) in &meters {
            // The phones that record meanwhile are in these figures.
            let (time, memory) = (meter.cpu_time(), meter.memory_grown());
            println!("{}: {} bytes; {who}: {time:.1?}, {} KiB", bomb.name, batch.len(), memory / 1024);
            assert!(time <= TIME_MAX, "{}: {who} worked for {time:?}", bomb.name);
            assert!(memory <= MEMORY_LEN_MAX, "{}: {who} took {memory} bytes", bomb.name);
        }
    }
}
