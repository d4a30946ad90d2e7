//! The worker's limits: one batch for which it needs too much is set aside, and only that. What comes
//! after it in its space, and the other spaces, are shown as ever; another version tries it again.

use std::process::Command;
use std::time::{Duration, Instant};

use barid_core::batch::Lane;
use barid_core::clock::Timestamp;
use barid_core::document::{NewChange, Op, OpId, encode_with_hash};
use barid_core::id::{ActorId, ChangeHash, RecordId, SpaceId};
use barid_core::identity::Identity;
use barid_core::store::{Store, StoreConfig};
use harness::browser::Browser;
use harness::forge::{Chain, change_entry};
use harness::phone::{PATIENCE, Phone, PhoneFiles, event_fields};
use harness::process;
use harness::raw_link::RawLink;
use harness::relay::Relay;
use harness::wait::until;

/// Fields of the heavy record that are written by turns.
const FIELDS: u64 = 64;
/// Changes of the heavy record, each of 60 kB, and of one batch.
const CHANGES: u64 = 200;
const CHANGES_A_BATCH: u64 = 4;
/// The own space of an organisation in a link: after the joint one.
const OWN: u8 = 1;

/// One author's record of many changes, every one of them sound: to add one to it, all are read.
struct Author<'a> {
    chain: Chain<'a>,
    record: [u8; 16],
    seq: u64,
    head: Vec<ChangeHash>,
}

impl<'a> Author<'a> {
    fn new(key: &'a Identity, space: SpaceId, number: u8) -> Self {
        let chain = Chain::new(key, number.into(), space, Lane::Normal);
        Self { chain, record: [number; 16], seq: 0, head: Vec::new() }
    }

    /// One entry: a change on top of the one before.
    fn entry(&mut self, key: String, text: String, replaces: Option<u64>) -> Vec<u8> {
        self.seq += 1;
        let actor = ActorId::from_bytes(self.chain.actor());
        let predecessors = replaces.map(|counter| OpId { counter, actor }).into_iter().collect();
        let change = NewChange {
            actor,
            seq: self.seq,
            start_op: self.seq,
            time: Timestamp::from_millis(1_790_000_000_000),
            deps: self.head.clone(),
            ops: vec![Op { key, value: Some(text.into()), predecessors }],
        };
        let (bytes, hash) = encode_with_hash(&change).unwrap();
        self.head = vec![hash];
        change_entry(self.record, b"event", 0, &bytes)
    }

    /// The batch that begins the record.
    fn begin(&mut self) -> Vec<u8> {
        let entry = self.entry("title".to_owned(), "before".to_owned(), None);
        self.chain.next(&[entry])
    }

    /// A batch of long changes.
    fn grow(&mut self) -> Vec<u8> {
        let entries: Vec<_> = (0..CHANGES_A_BATCH)
            .map(|_| {
                let number = self.seq;
                let replaces = (number > FIELDS).then(|| number + 1 - FIELDS);
                self.entry(format!("k{:02}", number % FIELDS), format!("{number:60000}"), replaces)
            })
            .collect();
        self.chain.next(&entries)
    }

    /// A batch with one small change, and so many records of their own beside it.
    fn end(&mut self, beside: u16) -> Vec<u8> {
        let mut entries = vec![self.entry("title".to_owned(), "after".to_owned(), Some(1))];
        for number in 0..beside {
            let mut other = Author::new(self.chain.key, self.chain.space, self.record[0]);
            other.record = [0xee; 16];
            other.record[..2].copy_from_slice(&number.to_be_bytes());
            let text = format!("سيارة متوقفة قرب البئر رقم {number} والركاب بخير");
            entries.push(other.entry("note".to_owned(), text, None));
        }
        self.chain.next(&entries)
    }

    fn path(&self) -> String {
        let id = RecordId::from_bytes(self.record);
        format!("/api/events/{}/event/{id}", self.chain.space)
    }
}

/// A relay with a member that pushes by hand into its organisation's own space, and a phone of another
/// organisation.
struct World {
    folder: tempfile::TempDir,
    relay: Relay,
    files: PhoneFiles,
    writer: Phone,
    own: SpaceId,
    elsewhere: Phone,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let relay = Relay::new(folder.path());
        relay.add_organisation("Red Crescent", "الهلال الأحمر");
        let files = PhoneFiles::new(folder.path(), "writer");
        let mut writer = Phone::enrol(&relay, folder.path(), "writer");
        writer.sync_once();
        let own = writer.device.enrolment().unwrap().unwrap().spaces[usize::from(OWN)];
        let elsewhere = Phone::enrol_with(&relay, folder.path(), "elsewhere", "Red Crescent");
        Self { folder, relay, files, writer, own, elsewhere }
    }

    fn push(&self, batches: &[Vec<u8>]) {
        let mut link = RawLink::open(self.relay.port());
        link.handshake(&self.writer.device, &self.files);
        for batch in batches {
            let answer = link.push_to(OWN, batch).unwrap();
            assert_eq!(answer[0], 0x11, "{answer:02x?}");
        }
    }

    fn restart(&mut self, flags: &[String]) {
        self.relay.stop();
        self.relay.set_flags(flags);
        self.relay.start();
        self.relay.worker();
    }

    /// How far the views are in the space, and how far the log.
    fn views_and_log(&self) -> (u64, u64) {
        let views = self.relay.folder().join("views.db");
        let store = Store::open_read_only(StoreConfig::replica(views)).ok();
        let views = store.and_then(|store| store.cursor(self.own).ok()?).map_or(0, |cursor| cursor.offset);
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let log = self.relay.folder().join("log.db");
        let log = rusqlite::Connection::open_with_flags(log, flags).unwrap();
        let sql = "SELECT head FROM space WHERE id = ?1";
        let head: i64 = log.query_row(sql, [self.own.as_bytes()], |row| row.get(0)).unwrap();
        (views, head.unsigned_abs())
    }

    fn wait_viewed(&self) {
        until("the views have come to the end of the log", PATIENCE, || {
            let (views, log) = self.views_and_log();
            (views == log).then_some(())
        });
    }

    /// The list of what was set aside, to look into and to change while nobody has it open.
    fn aside(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.relay.folder().join("aside.db")).unwrap()
    }
}

fn title(browser: &Browser, author: &Author<'_>) -> String {
    let record = browser.get(&author.path()).json();
    record["title"].as_str().unwrap_or_default().to_owned()
}

/// The worker dies of a batch that was just pushed, and only of it, with a limit that was set for that:
/// it alone is set aside, all else goes on, and another version without the limit takes it in.
fn goes_on(world: &mut World, heavy: &Author<'_>, poison: u64, first_worker: u32, begun: Instant) {
    let key = Identity::from_seed(world.files.seed);
    let mut later = Author::new(&key, world.own, 9);
    world.push(&[later.begin()]);
    let joint = world.elsewhere.space;
    let id = world.elsewhere.put_event(event_fields(2));
    world.elsewhere.link = harness::link::Link::to(world.relay.port()).unwrap();
    let moved = format!("ws://127.0.0.1:{}", world.elsewhere.link.port());
    world.elsewhere.device.move_relay(&moved).unwrap();
    world.elsewhere.sync_once();
    println!("another organisation's phone is in sync {:.1?} after the batch", begun.elapsed());
    let browser = Browser::login(&world.relay);
    let shows = |path: &str| browser.get(path).status == 200;
    until("what came after is shown, in that space and in another", PATIENCE, || {
        (shows(&later.path()) && shows(&format!("/api/events/{joint}/event/{id}"))).then_some(())
    });
    println!("and what came after it in its own space is shown after {:.1?}", begun.elapsed());
    let stats = browser.get("/api/stats").json();
    assert_eq!(stats["set_aside"], 1, "{stats}");
    assert_ne!(world.relay.worker(), first_worker, "the worker that died was replaced");
    let set_aside: i64 =
        world.aside().query_row("SELECT log_offset FROM aside", [], |row| row.get(0)).unwrap();
    assert_eq!(set_aside.unsigned_abs(), poison, "it is the one that it died of");
    assert_eq!(title(&browser, heavy), "before", "what it was before is still shown");

    // The same version does not try it again, another does: to it, an older one set it aside.
    world.relay.stop();
    let (is_clean, printed) = Relay::check(world.relay.folder());
    println!("{printed}");
    assert!(is_clean, "what is set aside is no damage: {printed}");
    for table in ["aside", "death"] {
        let sql = format!("UPDATE {table} SET version = '0.0.0-older'");
        world.aside().execute(&sql, []).unwrap();
    }
    world.relay.set_flags(&[]);
    world.relay.start();
    let browser = Browser::login(&world.relay);
    until("the next version takes it in", PATIENCE, || {
        (browser.get("/api/stats").json()["set_aside"] == 0).then_some(())
    });
    assert_eq!(title(&browser, heavy), "after");
    world.relay.stop();
    let (is_clean, printed) = Relay::check(world.relay.folder());
    assert!(is_clean, "{printed}");
    assert!(world.folder.path().exists());
}

#[test]
fn a_batch_that_takes_more_memory_than_the_worker_may_is_set_aside_and_tried_by_the_next_version() {
    let mut world = World::new();
    let key = Identity::from_seed(world.files.seed);
    let mut heavy = Author::new(&key, world.own, 7);
    let mut batches = vec![heavy.begin()];
    batches.extend((0..CHANGES / CHANGES_A_BATCH).map(|_| heavy.grow()));
    world.push(&batches);
    world.wait_viewed();
    // The limit lies between what the worker needs at rest and what one more change of that record
    // costs it.
    world.restart(&[]);
    std::thread::sleep(Duration::from_millis(500));
    let at_rest = process::address_space_peak(world.relay.worker()) / 1024 / 1024;
    world.restart(&[format!("--materialiser-mebibytes-max={}", at_rest + 8)]);
    let first_worker = world.relay.worker();
    world.push(&[heavy.end(0)]);
    let begun = Instant::now();
    let poison = world.views_and_log().1;
    goes_on(&mut world, &heavy, poison, first_worker, begun);
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args([name, &process.to_string()]).status().unwrap();
    assert!(sent.success(), "{name}");
}

/// Stops the worker in the middle of what it does at an offset, for longer than a step may take, so that
/// it finds when it goes on that the step took too long. False if the step was over before that.
fn stall(world: &World, offset: u64) -> bool {
    let aside = world.aside();
    let attempted = || {
        let sql = "SELECT first FROM attempt WHERE space = ?1";
        aside.query_row(sql, [world.own.as_bytes()], |row| row.get::<_, i64>(0)).ok()
    };
    let worker = until("the worker is at the batch", PATIENCE, || {
        let worker = world.relay.worker();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(200) {
            if attempted() == Some(offset as i64) {
                signal(worker, "-STOP");
                return Some(worker);
            }
            if world.views_and_log().0 >= offset {
                return Some(0);
            }
        }
        None
    });
    if worker == 0 {
        return false;
    }
    let was_within = attempted() == Some(offset as i64);
    std::thread::sleep(if was_within { STEP_MAX + Duration::from_millis(500) } else { Duration::ZERO });
    signal(worker, "-CONT");
    was_within
        && until("the worker has died or gone on", PATIENCE, || {
            if attempted().is_none() {
                return Some(!process::children(world.relay.process()).contains(&worker));
            }
            None
        })
}

/// What a step may take there.
const STEP_MAX: Duration = Duration::from_secs(1);
/// Batches with which that is tried: a step may be over too soon.
const TRIES: u8 = 10;

#[test]
fn a_batch_that_takes_more_time_than_the_worker_may_is_set_aside_and_tried_by_the_next_version() {
    let mut world = World::new();
    let key = Identity::from_seed(world.files.seed);
    world.restart(&[format!("--materialiser-step-seconds-max={}", STEP_MAX.as_secs())]);
    for number in 0..TRIES {
        let mut heavy = Author::new(&key, world.own, 0x40 + number);
        world.push(&[heavy.begin()]);
        world.wait_viewed();
        let (first_worker, begun) = (world.relay.worker(), Instant::now());
        let poison = world.views_and_log().1 + 1;
        world.push(&[heavy.end(500)]);
        if stall(&world, poison) && stall(&world, poison) {
            return goes_on(&mut world, &heavy, poison, first_worker, begun);
        }
        println!("a step was over before the worker could be stopped in it; once more");
        world.wait_viewed();
    }
    panic!("no step was long enough to stop the worker in it");
}
