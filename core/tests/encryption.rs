//! The device's database with a key, and without: what is encrypted, what is refused, what it costs.
//!
//! Without the feature `sqlcipher` this shows that the scan for canaries finds them, so that finding
//! none with it says something. With it, `cargo everything canary` shows that it finds none.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use barid_core::batch::SealedBatch;
use barid_core::bundle::{BundleRequest, BundleScope, export, write_file};
use barid_core::clock::Timestamp;
use barid_core::control::{
    ControlChain, SpaceKind, SpaceOrganisation, admit_device, erase, found_organisation, found_space,
};
use barid_core::exchange::Cancel;
use barid_core::id::{Incarnation, RecordId, SpaceId};
use barid_core::identity::Identity;
use barid_core::model::{Fields, Gap, Position, TrackChunk, Value};
use barid_core::store::{
    DatabaseKey, KeyError, OpenError, Query, RecoverError, Store, StoreConfig, damaged_beside,
};

const CANARIES: usize = 500;
/// Names in control records: they are only in sealed batches, compressed, where no scan sees them.
const COMPRESSED: std::ops::Range<usize> = CANARIES..CANARIES + 6;
const BUDGET: usize = 1 << 20;
/// The title of a record that nobody edits.
const STANDING: usize = 122;
const IS_BUILT: bool = cfg!(feature = "sqlcipher");

/// Something that occurs nowhere by chance.
fn canary(n: usize) -> String {
    let hash = blake3::hash(format!("canary {n}").as_bytes());
    format!("kanari{}", &hash.to_hex()[..18])
}

fn identity(n: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed([n; 32]))
}

fn config(path: &Path, key: Option<u8>) -> StoreConfig {
    StoreConfig {
        key: key.map(|byte| DatabaseKey::new([byte; 32])),
        ..StoreConfig::device(path, identity(1))
    }
}

fn set(field: &str, value: impl Into<Value>) -> BTreeMap<String, Option<Value>> {
    BTreeMap::from([(field.to_owned(), Some(value.into()))])
}

/// Gives each canary once.
struct Flock(std::ops::Range<usize>);

impl Flock {
    fn next(&mut self) -> String {
        canary(self.0.next().expect("five hundred are enough"))
    }

    fn event(&mut self, n: usize) -> Fields {
        Fields::from([
            ("time".to_owned(), Value::Int(1_790_000_000_000 + n as i64)),
            ("lat".to_owned(), Value::Float(26.5)),
            ("lon".to_owned(), Value::Float(14.25)),
            ("title".to_owned(), Value::Text(self.next())),
            ("note".to_owned(), Value::Text(format!("بئر {} بعيد", self.next()))),
            ("undeclared".to_owned(), Value::List(vec![Value::Text(self.next())])),
            ("raw".to_owned(), Value::Bytes(self.next().into_bytes())),
        ])
    }
}

/// A space and the batch that founds it.
fn founded(root: &Identity) -> (SpaceId, Vec<Vec<u8>>) {
    let mut flock = Flock(COMPRESSED);
    let (organisation, about) =
        found_organisation("agency", &flock.next(), &flock.next(), root.device(), [2; 16]).unwrap();
    let named = [SpaceOrganisation { id: organisation, key: root.device() }];
    let kind = SpaceKind::Organisation;
    let (space, genesis) =
        found_space(kind, &flock.next(), &flock.next(), &[root.device()], &named, [3; 16]).unwrap();
    let admitted =
        [1, 2].map(|n| admit_device(identity(n).device(), 1, organisation, &flock.next(), "patrol").unwrap());
    (space, [vec![genesis, about], admitted.to_vec()].concat())
}

/// Writes all canaries through every kind of write there is, and goes on holding the store.
fn write_everything(path: &Path, key: Option<u8>) -> Store {
    let mut flock = Flock(0..CANARIES);
    let root = Identity::from_seed([90; 32]);
    let (space, statements) = founded(&root);
    let mut chain = ControlChain::new(&root, Incarnation::from_bytes([9; 8]), space);
    let now = Timestamp::from_millis(1);
    let control = chain.seal(&statements, now, [6; 16]).unwrap();
    let store = Store::open(config(path, key)).unwrap();
    let other = Store::open(StoreConfig { identity: Some(identity(2)), ..StoreConfig::in_memory() }).unwrap();
    for store in [&store, &other] {
        store.join_space(space).unwrap();
        store.ingest(space, &[(1, control.clone())], None).unwrap();
    }

    // Settings, the enrolment among them.
    for name in ["enrolment", "app"] {
        store.save_setting(name, flock.next().as_bytes()).unwrap();
    }
    // Records, an own kind too; edits; a withdrawal; tracks. Some are sealed, others stay pending.
    let mut ids = Vec::new();
    for n in 0..40 {
        let kind = if n % 4 == 0 { "own_kind" } else { "event" };
        let fields = flock.event(n);
        ids.push((kind, store.write(|w| w.put(space, kind, None, fields)).unwrap()));
        if n % 8 == 0 {
            store.outgoing(&[], &[], BUDGET).unwrap();
        }
    }
    for (kind, id) in &ids[..20] {
        let title = flock.next();
        store.write(|w| w.patch(space, kind, *id, set("title", title))).unwrap();
    }
    store.write(|w| w.withdraw(space, ids[3].0, ids[3].1)).unwrap();
    for n in 0..10_u8 {
        let at = |s: i64| Timestamp::from_millis(1_790_000_000_000 + s * 1000);
        let position =
            |s: i64| Position { time: at(s), lat_e7: 265_000_000, lon_e7: 142_500_000, accuracy_m: 4 };
        let gaps = vec![Gap { from: at(1), to: at(2), reason: flock.next() }];
        let id = RecordId::from_bytes([n; 16]);
        let chunk = TrackChunk {
            id,
            patrol: RecordId::from_bytes([9; 16]),
            positions: (0..50).map(position).collect(),
            gaps,
        };
        store.write(|w| w.add_track(space, chunk)).unwrap();
    }
    // What others wrote: by the log, with a conflict, and carried by hand.
    let (mine, _) = store.outgoing(&[], &[], BUDGET).unwrap();
    let logged = |batches: Vec<SealedBatch>, from: u64| (from..).zip(batches).collect::<Vec<_>>();
    other.ingest(space, &logged(mine, 2), None).unwrap();
    for (kind, id) in &ids[..10] {
        let (theirs, ours) = (flock.next(), flock.next());
        other.write(|w| w.patch(space, kind, *id, set("note", theirs))).unwrap();
        store.write(|w| w.patch(space, kind, *id, set("note", ours))).unwrap();
    }
    for n in 0..20 {
        let fields = flock.event(n);
        other.write(|w| w.put(space, "event", None, fields)).unwrap();
    }
    let (theirs, _) = other.outgoing(&[], &[], BUDGET).unwrap();
    let (by_log, by_hand) = theirs.split_at(theirs.len() / 2);
    store.ingest(space, &logged(by_log.to_vec(), 1000), None).unwrap();
    store.ingest_carried(space, by_hand).unwrap();
    assert!(ids[..10].iter().any(|(kind, id)| !store.conflicts(space, kind, *id).unwrap().is_empty()));
    // One is erased: it is in no file of either kind afterwards, so it gets no canary of its own.
    let erased = store
        .write(|w| w.put(space, "event", None, Fields::from([("title".to_owned(), "gone".into())])))
        .unwrap();
    let erasing = chain.seal(&[erase("event", erased).unwrap()], now, [7; 16]).unwrap();
    store.ingest(space, &[(2000, erasing)], None).unwrap();
    // A bundle, which is for another device.
    let request = BundleRequest {
        recipient: identity(2).device(),
        is_relay: false,
        spaces: &[space],
        scope: &BundleScope::default(),
        now,
    };
    let bundle = path.with_extension("bundle");
    write_file(&bundle, |file| export(&store, request, file, &Cancel::default(), |_, _| ())).unwrap();
    // Pictures, as far as the store looks into them: one scan, in which anything may stand.
    for (kind, id) in &ids[20..30] {
        let head = [0xff, 0xd8, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];
        let picture = [&head[..], flock.next().as_bytes(), &[0xff, 0xd9]].concat();
        store.attach(space, kind, *id, &picture, None).unwrap();
    }
    // Reads that sort and search, and everything that is left.
    let found = store.query(&Query { text: Some(canary(STANDING)), ..Query::default() }).unwrap();
    assert!(store.query(&Query { limit: 1000, ..Query::default() }).unwrap().records.len() >= 59);
    drop(found);
    let rest: Fields = std::iter::from_fn(|| flock.0.next())
        .map(|n| (format!("field_{n}"), Value::Text(canary(n))))
        .collect();
    store.write(|w| w.put(space, "event", None, rest)).unwrap();
    store
}

/// Which canaries are in the files of a folder, and in what a process has open and has no name.
fn scan(folder: &Path, process: Option<u32>) -> Vec<usize> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "there is something to look at: {files:?}");
    if let Some(process) = process {
        let open = fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
        files.extend(open.map(|entry| entry.path()).filter(|path| {
            fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
                && fs::read_link(path).is_ok_and(|name| name.to_string_lossy().ends_with("(deleted)"))
        }));
    }
    let contents: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    // One pass for each file: every canary begins alike.
    let mut found = vec![false; COMPRESSED.end];
    let numbers: BTreeMap<String, usize> = (0..COMPRESSED.end).map(|n| (canary(n), n)).collect();
    for bytes in &contents {
        for window in bytes.windows(24).filter(|window| window.starts_with(b"kanari")) {
            if let Some(n) = std::str::from_utf8(window).ok().and_then(|text| numbers.get(text)) {
                found[*n] = true;
            }
        }
        // Nor is it there with a zero before each letter.
        let wide: Vec<u8> = "kanari".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(!bytes.windows(wide.len()).any(|window| window == wide));
    }
    (0..COMPRESSED.end).filter(|n| found[*n]).collect()
}

/// This test program as another process, which writes and waits for its end.
struct Writer(Child);

impl Writer {
    fn start(path: &Path, key: Option<u8>) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_in_a_process_of_its_own", "--ignored", "--nocapture"])
            .env("BARID_CANARY_PATH", path)
            .env("BARID_CANARY_KEY", key.map_or(String::new(), |key| key.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        assert!(lines.map(Result::unwrap).any(|line| line.contains("all is written")));
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
#[ignore = "the others start it"]
fn writes_in_a_process_of_its_own() {
    let Some(path) = std::env::var_os("BARID_CANARY_PATH") else { return };
    let key = std::env::var("BARID_CANARY_KEY").unwrap().parse().ok();
    let store = write_everything(Path::new(&path), key);
    println!("all is written");
    std::io::stdout().flush().unwrap();
    let _ended = std::io::stdin().read_line(&mut String::new());
    drop(store);
}

/// What the scan finds while the store is open, after a kill in the middle, and after a clean end.
fn canaries_found(key: Option<u8>) -> [Vec<usize>; 3] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("field.db");
    let writer = Writer::start(&path, key);
    let open = scan(folder.path(), Some(writer.0.id()));
    writer.kill();
    let killed = scan(folder.path(), None);
    drop(Store::open(config(&path, key)).unwrap());
    [open, killed, scan(folder.path(), None)]
}

#[test]
fn without_a_key_the_scan_finds_the_canaries() {
    let [open, killed, closed] = canaries_found(None);
    println!("found of {CANARIES}: {} open, {} killed, {} closed", open.len(), killed.len(), closed.len());
    for found in [open, killed, closed] {
        let missing: Vec<usize> = (0..CANARIES).filter(|n| !found.contains(n)).collect();
        assert!(missing.is_empty(), "not found: {missing:?}");
    }
}

#[test]
fn without_the_feature_a_key_is_refused_and_nothing_is_made() {
    if IS_BUILT {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("field.db");
    let unsupported = OpenError::Key(KeyError::Unsupported);
    assert_eq!(Store::open(config(&path, Some(1))).unwrap_err().to_string(), unsupported.to_string());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    drop(Store::open(config(&path, None)).unwrap());
    for opened in [Store::open(config(&path, Some(1))), Store::open_read_only(config(&path, Some(1)))] {
        assert!(matches!(opened, Err(OpenError::Key(KeyError::Unsupported))));
    }
    assert!(matches!(
        Store::recover(&path, config(&folder.path().join("new.db"), Some(1))),
        Err(RecoverError::Key(KeyError::Unsupported))
    ));
}

#[test]
fn an_encrypted_file_without_its_key_is_refused_and_untouched() {
    // What any build, with the feature or without, makes of another's encrypted file.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("field.db");
    let mut noise = vec![0; 16 * 4096];
    blake3::Hasher::new().finalize_xof().fill(&mut noise);
    fs::write(&path, &noise).unwrap();
    for _ in 0..2 {
        assert!(matches!(Store::open(config(&path, None)), Err(OpenError::Key(KeyError::Missing))));
        assert_eq!(fs::read(&path).unwrap(), noise);
        assert!(damaged_beside(&path).is_empty());
    }
    assert!(matches!(
        Store::recover(&path, config(&folder.path().join("new.db"), None)),
        Err(RecoverError::Key(KeyError::Missing))
    ));
    assert!(!folder.path().join("new.db").exists());
}

#[cfg(feature = "sqlcipher")]
mod with_the_feature {
    use super::*;

    #[test]
    fn with_a_key_no_file_has_a_canary_open_killed_or_closed() {
        let found = canaries_found(Some(7));
        println!("found of {CANARIES}: {:?}", found.each_ref().map(Vec::len));
        assert_eq!(found, [vec![], vec![], vec![]]);
    }

    fn shown(store: &Store) -> Vec<String> {
        let query = Query { include_withdrawn: true, limit: 1000, ..Query::default() };
        let records = store.query(&query).unwrap().records;
        records.iter().map(|record| format!("{} {:?}", record.id, record.fields)).collect()
    }

    /// Everything in a folder, but what the lock's file says.
    fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }

    /// An encrypted store with everything in it, closed or as a kill leaves it.
    fn written(folder: &Path, is_killed: bool) -> PathBuf {
        let path = folder.join("field.db");
        let writer = Writer::start(&path, Some(7));
        writer.kill();
        if !is_killed {
            drop(Store::open(config(&path, Some(7))).unwrap());
        }
        path
    }

    #[test]
    fn what_was_written_with_a_key_is_read_with_it_and_by_every_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), true);
        let store = Store::open(config(&path, Some(7))).unwrap();
        let records = shown(&store);
        assert!(records.len() >= 61, "{}", records.len());
        let found = store.query(&Query { text: Some(canary(STANDING)), ..Query::default() }).unwrap();
        assert_eq!(found.records.len(), 1);
        let beside = Store::open_read_only(config(&path, Some(7))).unwrap();
        assert_eq!(shown(&beside), records);
        drop(store);
        drop(beside);
        assert_eq!(shown(&Store::open(config(&path, Some(7))).unwrap()), records);
    }

    #[test]
    fn a_wrong_key_or_none_is_refused_and_every_file_stays_as_it_is() {
        for is_killed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = written(folder.path(), is_killed);
            let before = files(folder.path());
            for _ in 0..2 {
                for (key, error) in [(Some(8), KeyError::Wrong), (None, KeyError::Missing)] {
                    let opened = Store::open(config(&path, key));
                    assert!(matches!(opened, Err(OpenError::Key(found)) if found == error), "{opened:?}");
                    let beside = Store::open_read_only(config(&path, key));
                    assert!(matches!(beside, Err(OpenError::Key(found)) if found == error), "{beside:?}");
                    let recovered = Store::recover(&path, config(&folder.path().join("new.db"), key));
                    assert!(matches!(recovered, Err(RecoverError::Key(found)) if found == error));
                }
                assert!(files(folder.path()) == before, "something was written");
            }
            Store::open(config(&path, Some(7))).unwrap();
        }
    }

    #[test]
    fn a_key_for_a_plain_file_is_refused_and_the_file_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("field.db");
        drop(Store::open(config(&path, None)).unwrap());
        let before = files(folder.path());
        for _ in 0..2 {
            let opened = Store::open(config(&path, Some(7)));
            assert!(matches!(opened, Err(OpenError::Key(KeyError::NotEncrypted))), "{opened:?}");
            assert!(files(folder.path()) == before);
        }
        Store::open(config(&path, None)).unwrap();
    }

    #[test]
    fn a_file_that_lost_its_first_page_is_damaged_with_its_key_and_refused_with_another() {
        for damage in [0..16, 0..4096, 2000..2001, 4096..4097, 0..3 * 4096] {
            let folder = tempfile::tempdir().unwrap();
            let path = written(folder.path(), false);
            let whole = shown(&Store::open(config(&path, Some(7))).unwrap());
            let mut bytes = fs::read(&path).unwrap();
            bytes[damage.clone()].iter_mut().for_each(|byte| *byte ^= 0x5a);
            fs::write(&path, &bytes).unwrap();
            let before = files(folder.path());
            for (key, error) in [(Some(8), KeyError::Wrong), (None, KeyError::Missing)] {
                let opened = Store::open(config(&path, key));
                assert!(
                    matches!(opened, Err(OpenError::Key(found)) if found == error),
                    "{damage:?} {opened:?}"
                );
            }
            assert!(files(folder.path()) == before);
            let opened = Store::open(config(&path, Some(7)));
            let Err(OpenError::Damaged { kept_as }) = opened else {
                assert!(damage.start < 16 && damage.end == 16, "{damage:?}: {opened:?}");
                // SQLCipher has no use for the salt in the file: the key brings it.
                continue;
            };
            assert_eq!(fs::read(&kept_as).unwrap(), bytes);
            let report = Store::recover(&kept_as, config(&path, Some(7))).unwrap();
            assert!(report.pending_reauthored + report.batches > 10, "{damage:?}: {report:?}");
            let back = Store::open(config(&path, Some(7))).unwrap();
            let had = shown(&back).len();
            assert!(had * 2 > whole.len(), "{damage:?}: {had} of {}: {report:?}", whole.len());
        }
    }

    #[test]
    fn a_plain_store_is_brought_into_an_encrypted_one() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, path) = (folder.path().join("plain.db"), folder.path().join("field.db"));
        Writer::start(&plain, None).kill();
        assert_eq!(Store::recover(&plain, config(&path, Some(7))).unwrap().attachments, 10);
        let store = Store::open(config(&path, Some(7))).unwrap();
        assert_eq!(
            store.query(&Query { text: Some(canary(STANDING)), ..Query::default() }).unwrap().records.len(),
            1
        );
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        for path in names.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("plain.")) {
            fs::remove_file(path).unwrap();
        }
        assert_eq!(scan(folder.path(), None), Vec::<usize>::new());
    }

    /// Nanoseconds that this thread has computed: what a busy machine does beside it does not count.
    fn computed() -> u64 {
        let read = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        read.split(' ').next().unwrap().parse().unwrap()
    }

    fn microseconds(times: usize, mut what: impl FnMut(usize)) -> f64 {
        let begun = computed();
        (0..times).for_each(&mut what);
        (computed() - begun) as f64 / 1000.0 / times as f64
    }

    fn observed(n: usize) -> Fields {
        Fields::from([
            ("time".to_owned(), Value::Int(1_790_000_000_000 + n as i64 * 1000)),
            ("lat".to_owned(), Value::Float(24.0 + (n % 400) as f64 / 100.0)),
            ("lon".to_owned(), Value::Float(14.25)),
            ("title".to_owned(), Value::Text(format!("البئر رقم {n}"))),
            ("note".to_owned(), Value::Text("ماء صالح للشرب بعد المعالجة ".repeat(4))),
        ])
    }

    /// The figures of the README; it claims nothing.
    #[test]
    #[ignore = "a measurement"]
    fn cost_of_encryption() {
        const GROUPS: usize = 200;
        println!("microseconds of one processor: put alone, put in hundreds, newest 50, words, box, opening");
        for key in [None, Some(7), None, Some(7), None, Some(7)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("field.db");
            let store = Store::open(config(&path, key)).unwrap();
            let root = Identity::from_seed([90; 32]);
            let (space, statements) = founded(&root);
            let mut chain = ControlChain::new(&root, Incarnation::from_bytes([9; 8]), space);
            let control = chain.seal(&statements, Timestamp::from_millis(1), [6; 16]).unwrap();
            store.join_space(space).unwrap();
            store.ingest(space, &[(1, control)], None).unwrap();
            let alone = microseconds(1000, |n| {
                store.write(|w| w.put(space, "event", None, observed(n))).unwrap();
            });
            let grouped = microseconds(GROUPS, |group| {
                let mut numbers = (0..100).map(|n| group * 100 + n);
                store
                    .write(|w| numbers.try_for_each(|n| w.put(space, "event", None, observed(n)).map(drop)))
                    .unwrap();
            }) / 100.0;
            let time = |query: &Query| microseconds(200, |_| drop(store.query(query).unwrap()));
            let newest = time(&Query { limit: 50, ..Query::default() });
            let words = time(&Query { text: Some("بئر 1234".to_owned()), ..Query::default() });
            let bbox = Some([24.5, 14.0, 24.6, 15.0]);
            let boxed = time(&Query { bbox, ..Query::default() });
            drop(store);
            let len = fs::metadata(&path).unwrap().len() as f64 / 1e6;
            let opening = microseconds(5, |_| {
                let store = Store::open(config(&path, key)).unwrap();
                store.query(&Query { limit: 50, ..Query::default() }).unwrap();
            });
            let name = key.map_or("plain", |_| "encrypted");
            println!(
                "{name:9} {alone:6.0} {grouped:6.0} {newest:6.0} {words:6.0} {boxed:6.0} {opening:6.0}  {len:.1} MB"
            );
        }
    }
}
