#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use rusqlite::Connection;

use super::carve_tests::{apply_damage, damage, pages_of_rows};
use super::*;
use crate::batch::{BodyEntry, Entry, SealedBatch};
use crate::clock::Timestamp;
use crate::control::{
    ControlChain, SpaceKind, SpaceOrganisation, admit_device, found_organisation, found_space,
};
use crate::id::{BatchId, Incarnation, RecordId};
use crate::identity::Identity;
use crate::model::{Fields, Position, TrackChunk, Value};
use crate::store::Query;

const PATROL: RecordId = RecordId::from_bytes([9; 16]);
const EVERYTHING: usize = 64 * 1024 * 1024;

fn identity(n: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed([n; 32]))
}

/// A space of one organisation and its devices 1 and 2.
fn founded() -> (SpaceId, SealedBatch) {
    let root = Identity::from_seed([90; 32]);
    let time = Timestamp::from_millis(1);
    let (organisation, about) =
        found_organisation("border_guard", "حرس الحدود", "Border guard", root.device(), [2; 16]).unwrap();
    let named = [SpaceOrganisation { id: organisation, key: root.device() }];
    let (space, genesis) =
        found_space(SpaceKind::Organisation, "حرس", "Guard", &[root.device()], &named, [3; 16]).unwrap();
    let admitted =
        [1, 2].map(|n| admit_device(identity(n).device(), 1, organisation, "phone", "patrol").unwrap());
    let statements = [vec![genesis, about], admitted.to_vec()].concat();
    let mut chain = ControlChain::new(&root, Incarnation::from_bytes([9; 8]), space);
    (space, chain.seal(&statements, time, [6; 16]).unwrap())
}

fn event(n: usize, note_len: usize) -> Fields {
    Fields::from([
        ("time".to_owned(), Value::Int(1_790_000_000_000 + n as i64)),
        ("lat".to_owned(), Value::Float(26.5 + n as f64 / 1000.0)),
        ("lon".to_owned(), Value::Float(14.25)),
        ("title".to_owned(), Value::Text(format!("حدث {n}"))),
        ("note".to_owned(), Value::Text(noise(n, note_len))),
        ("operational_state".to_owned(), Value::Text("new".to_owned())),
    ])
}

/// Text that does not compress, so that a batch is as long as its notes.
fn noise(n: usize, len: usize) -> String {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&n.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes.iter().map(|byte| char::from(b'0' + byte % 64)).collect()
}

fn state(word: &str) -> BTreeMap<String, Option<Value>> {
    BTreeMap::from([("operational_state".to_owned(), Some(Value::Text(word.to_owned())))])
}

fn chunk(n: u8) -> TrackChunk {
    let position = |i: i64| Position {
        time: Timestamp::from_millis(i * 1000),
        lat_e7: 265_000_000 + i as i32 * 37,
        lon_e7: 142_500_000 - i as i32 * 91,
        accuracy_m: 4,
    };
    let positions = (0..300 + i64::from(n)).map(position).collect();
    TrackChunk { id: RecordId::from_bytes([n; 16]), patrol: PATROL, positions, gaps: Vec::new() }
}

/// What a store says of its records and tracks, without who wrote them.
#[derive(Debug, PartialEq)]
struct Said {
    records: BTreeMap<(String, RecordId), (Fields, bool, Timestamp)>,
    tracks: BTreeSet<Vec<u8>>,
}

impl Said {
    fn by(store: &Store, space: SpaceId) -> Self {
        let query = Query { include_withdrawn: true, limit: 1000, ..Query::default() };
        let records = store.query(&query).unwrap().records.into_iter();
        let tracks = store.tracks(space, PATROL).unwrap().into_iter();
        Self {
            records: records.map(|r| ((r.kind, r.id), (r.fields, r.withdrawn, r.created_at))).collect(),
            tracks: tracks.map(|track| track.chunk.to_bytes().unwrap()).collect(),
        }
    }
}

/// One for all tests: they only read it.
static FIELD: LazyLock<Field> = LazyLock::new(Field::new);

/// The store of device 1 as a crash left it: batches of two devices, some of its own not
/// acknowledged, and pending puts, edits, withdrawals and tracks.
struct Field {
    file: Vec<u8>,
    log: Vec<u8>,
    /// One file without a log, as a clean end leaves it.
    closed: Vec<u8>,
    space: SpaceId,
    said: Said,
    unsent: Vec<BatchId>,
    pending: u64,
}

impl Field {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let live = directory.path().join("live.db");
        let store = Store::open(StoreConfig::device(&live, identity(1))).unwrap();
        let (space, control) = founded();
        let other =
            Store::open(StoreConfig { identity: Some(identity(2)), ..StoreConfig::in_memory() }).unwrap();
        for store in [&store, &other] {
            store.join_space(space).unwrap();
            store.ingest(space, &[(1, control.clone())], None).unwrap();
        }
        let mut foreign = Vec::new();
        for n in 100..112 {
            let put = |fields| other.write(|w| w.put(space, "event", None, fields)).unwrap();
            foreign.push(put(event(n, n * n % 9000)));
            let (sealed, _) = other.outgoing(&[], &[], EVERYTHING).unwrap();
            for batch in &sealed {
                other.acknowledge(&[batch.id()]).unwrap();
            }
            let sealed: Vec<_> = sealed.into_iter().map(|batch| (n as u64, batch)).collect();
            store.ingest(space, &sealed, None).unwrap();
        }
        let mut own = Vec::new();
        let mut unsent = Vec::new();
        for n in 0..14 {
            own.push(store.write(|w| w.put(space, "event", None, event(n, n * 777))).unwrap());
            store.write(|w| w.patch(space, "event", own[n / 2], state("active"))).unwrap();
            store.write(|w| w.add_track(space, chunk(20 + n as u8))).unwrap();
            let (sealed, _) = store.outgoing(&[], &[], EVERYTHING).unwrap();
            for batch in sealed.iter().filter(|_| n < 7) {
                store.acknowledge(&[batch.id()]).unwrap();
            }
            unsent = sealed.iter().map(SealedBatch::id).collect();
        }
        for n in 200..230 {
            let put = |fields| store.write(|w| w.put(space, "event", None, fields)).unwrap();
            let id = put(event(n, n * n % 5000));
            store.write(|w| w.patch(space, "event", own[n % 14], state("resolved"))).unwrap();
            store.write(|w| w.patch(space, "event", id, state("active"))).unwrap();
        }
        store
            .write(|w| {
                w.withdraw(space, "event", foreign[3])?;
                w.put(space, "alert", None, event(300, 60))?;
                w.add_track(space, chunk(60))?;
                w.put(space, "strange", None, event(301, 60))
            })
            .unwrap();
        store.save_setting("enrolment", b"where the relay is").unwrap();
        let said = Said::by(&store, space);
        let (file, log) = (fs::read(&live).unwrap(), fs::read(pages::log_beside(&live)).unwrap());
        drop(store);
        assert!(!pages::log_beside(&live).exists(), "a store that is closed is one file");
        let closed = fs::read(&live).unwrap();
        let connection = Connection::open(&live).unwrap();
        let pending = connection.query_row("SELECT count(*) FROM pending", [], |row| row.get::<_, i64>(0));
        let pending = pending.unwrap() as u64;
        assert!(pending > 60);
        Self { file, log, closed, space, said, unsent, pending }
    }
}

/// A directory for what one test damages and recovers.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A damaged database and its log.
    fn damaged(&self, file: &[u8], log: Option<&[u8]>) -> PathBuf {
        let path = self.0.path().join("damaged.db");
        fs::write(&path, file).unwrap();
        if let Some(log) = log {
            fs::write(pages::log_beside(&path), log).unwrap();
        }
        path
    }

    /// The store as the crash left it, not damaged at all.
    fn crashed(&self, field: &Field) -> PathBuf {
        self.damaged(&field.file, Some(&field.log))
    }

    /// Recovers into a new store, and checks that what is damaged stays as it is.
    fn recover(&self, damaged: &Path) -> (Store, RecoverReport) {
        let path = self.0.path().join("new.db");
        for ending in ["", "-wal", "-shm", ".lock"] {
            let _ = fs::remove_file(format!("{}{ending}", path.display()));
        }
        self.recover_again(damaged)
    }

    fn recover_again(&self, damaged: &Path) -> (Store, RecoverReport) {
        let bytes = |path: &Path| (fs::read(path).unwrap(), fs::read(pages::log_beside(path)).ok());
        let before = bytes(damaged);
        let into = StoreConfig::device(self.0.path().join("new.db"), identity(1));
        let report = Store::recover(damaged, into.clone()).unwrap();
        assert!(bytes(damaged) == before, "the damaged file was changed");
        (Store::open(into).unwrap(), report)
    }
}

fn held_batches(store: &Store) -> BTreeSet<BatchId> {
    let connection = Connection::open(store.path().unwrap()).unwrap();
    let mut statement = connection.prepare("SELECT batch FROM batch").unwrap();
    let ids = statement.query_map([], |row| row.get(0).map(BatchId::from_bytes)).unwrap();
    ids.map(Result::unwrap).collect()
}

#[test]
fn everything_comes_back_from_a_file_that_is_whole() {
    let (field, bench) = (&*FIELD, Bench::new());
    let (store, report) = bench.recover(&bench.crashed(field));
    assert_eq!(Said::by(&store, field.space), field.said);
    assert_eq!(report.pending_reauthored, field.pending);
    assert_eq!((report.failed, report.batches_left, report.entries_reauthored), (0, 0, 0));
    assert_eq!(report.bytes_unreadable, 0);
    assert_eq!(store.setting("enrolment").unwrap().unwrap(), b"where the relay is", "no new code is needed");
    let (sent, _) = store.outgoing(&[], &[], EVERYTHING).unwrap();
    let sent_ids: Vec<_> = sent.iter().map(SealedBatch::id).collect();
    assert!(field.unsent.iter().all(|id| sent_ids.contains(id)), "sealed batches are sent as they were");
    assert_eq!(report.batches_own_unsent as usize, 2 * 7);
    let old = sent.iter().filter(|batch| batch.header().incarnation != store.incarnation());
    assert_eq!(old.count(), 2 * 7, "and what the relay has is not sent again");
    for batch in &sent {
        assert!(batch.verify_signature().is_ok() && batch.open().is_ok());
    }
}

#[test]
fn doing_it_twice_writes_nothing_more() {
    let (field, bench) = (&*FIELD, Bench::new());
    let (store, first) = bench.recover(&bench.crashed(field));
    let before = store.counts().unwrap();
    drop(store);
    let (store, second) = bench.recover_again(&bench.crashed(field));
    assert_eq!(first.batches, second.batches);
    assert_eq!(Said::by(&store, field.space), field.said);
    assert_eq!(store.counts().unwrap().records, before.records);
}

#[test]
fn a_recovery_that_was_cut_off_is_not_taken_for_a_store() {
    let (field, bench) = (&*FIELD, Bench::new());
    let damaged = bench.crashed(field);
    let (store, _) = bench.recover(&damaged);
    let config = StoreConfig::device(store.path().unwrap(), identity(1));
    set_unfinished(&store, Some(&damaged)).unwrap();
    drop(store);
    for _ in 0..2 {
        let error = Store::open(config.clone()).unwrap_err();
        let OpenError::Damaged { kept_as } = error else { panic!("{error:?}") };
        assert_eq!(kept_as.canonicalize().unwrap(), damaged.canonicalize().unwrap());
    }
    let (store, _) = bench.recover_again(&damaged);
    assert_eq!(Said::by(&store, field.space), field.said);
    set_unfinished(&store, Some(&damaged)).unwrap();
    drop(store);
    fs::remove_file(&damaged).unwrap();
    assert!(Store::open(config).is_ok(), "what is gone cannot be waited for");
}

#[test]
fn what_was_carried_for_others_is_carried_on() {
    let bench = Bench::new();
    let live = bench.0.path().join("live.db");
    let (space, control) = founded();
    let in_memory = || StoreConfig { identity: Some(identity(2)), ..StoreConfig::in_memory() };
    let (store, other) =
        (Store::open(StoreConfig::device(&live, identity(1))).unwrap(), Store::open(in_memory()).unwrap());
    for store in [&store, &other] {
        store.join_space(space).unwrap();
        store.ingest(space, &[(1, control.clone())], None).unwrap();
    }
    let id = other.write(|w| w.put(space, "event", None, event(1, 40))).unwrap();
    other.seal_pending(space).unwrap();
    let (batches, _) = other.batches_above(space, &store.heights(space).unwrap(), false, EVERYTHING).unwrap();
    store.ingest_carried(space, &batches).unwrap();
    let carried = |store: &Store| {
        let (sent, _) = store.outgoing(&[], &[space], EVERYTHING).unwrap();
        sent.iter().map(SealedBatch::id).collect::<Vec<_>>()
    };
    let before = carried(&store);
    assert_eq!(before, batches.iter().map(SealedBatch::id).collect::<Vec<_>>());
    drop(store);

    let (store, report) = bench.recover(&bench.damaged(&fs::read(&live).unwrap(), None));
    assert!(store.get(space, "event", id).unwrap().is_some());
    assert_eq!(report.batches_left, 0);
    assert_eq!(carried(&store), before, "no relay is known to have it");
}

#[test]
fn unsent_work_is_brought_back_to_its_own_device_alone() {
    let (field, bench) = (&*FIELD, Bench::new());
    let other = StoreConfig::device(bench.0.path().join("new.db"), identity(2));
    let own = identity(1).device();
    let damaged = bench.crashed(field);
    let refused = Store::recover(&damaged, other.clone());
    assert!(matches!(refused, Err(RecoverError::OtherDevice(device)) if device == own));
    let replica = StoreConfig { identity: None, ..other };
    assert!(matches!(Store::recover(&damaged, replica), Err(RecoverError::NoIdentity)));
    let itself = StoreConfig::device(&damaged, identity(1));
    assert!(matches!(Store::recover(&damaged, itself), Err(RecoverError::IntoItself)));
}

/// What must come back, by what SQLite itself says of the pages of rows.
struct Oracle {
    batches: Vec<(BTreeSet<i64>, SealedBatch)>,
    pending: Vec<(BTreeSet<i64>, String, RecordId)>,
    tracks: Vec<(BTreeSet<i64>, Vec<u8>)>,
}

impl Oracle {
    fn of(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        let (of_batches, of_pending) = (pages_of_rows(path, "batch"), pages_of_rows(path, "pending"));
        type Row = (i64, Option<String>, Vec<u8>, Vec<u8>);
        let rows = |sql: &str| -> Vec<Row> {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).unwrap();
            rows.map(Result::unwrap).collect()
        };
        let batches = rows("SELECT id, NULL, batch, bytes FROM batch");
        let pending = rows("SELECT id, kind, record, body FROM pending");
        Self {
            batches: batches
                .into_iter()
                .map(|(id, _, _, bytes)| (of_batches[&id].clone(), SealedBatch::parse(bytes).unwrap()))
                .collect(),
            tracks: pending
                .iter()
                .filter(|row| row.1.is_none())
                .map(|(id, _, _, body)| (of_pending[id].clone(), body.clone()))
                .collect(),
            pending: pending
                .into_iter()
                .filter_map(|(id, kind, record, _)| {
                    Some((of_pending[&id].clone(), kind?, RecordId::from_slice(&record).unwrap()))
                })
                .collect(),
        }
    }

    /// Checks a recovered store, when only rows on spared pages must have come back.
    fn check(&self, store: &Store, report: &RecoverReport, field: &Field, spared: impl Fn(i64) -> bool) {
        let spared = |pages: &BTreeSet<i64>| pages.iter().all(|page| spared(*page));
        let held = held_batches(store);
        let said = Said::by(store, field.space);
        let intact: Vec<_> = self.batches.iter().filter(|(pages, _)| spared(pages)).collect();
        let mut chains: BTreeMap<_, u64> = BTreeMap::new();
        for (_, batch) in &intact {
            let height = chains.entry(batch.chain()).or_default();
            if batch.header().seq == *height + 1 {
                *height += 1;
                assert!(held.contains(&batch.id()), "an intact batch is lost");
            } else if field.unsent.contains(&batch.id()) {
                // Behind a hole: its entries were written again.
                for entry in batch.open().unwrap().entries {
                    match entry {
                        BodyEntry::Present { entry: Entry::Change(change), .. } => {
                            assert!(said.records.contains_key(&(change.kind, change.record)));
                        }
                        BodyEntry::Present { entry: Entry::Track(chunk), .. } => {
                            assert!(said.tracks.contains(&chunk.to_bytes().unwrap()));
                        }
                        _ => {}
                    }
                }
            }
        }
        assert!(report.batches + report.batches_left <= self.batches.len() as u64);
        for (_, kind, record) in self.pending.iter().filter(|(pages, ..)| spared(pages)) {
            assert!(said.records.contains_key(&(kind.clone(), *record)), "an intact pending change is lost");
        }
        for (_, body) in self.tracks.iter().filter(|(pages, _)| spared(pages)) {
            assert!(said.tracks.contains(body), "an intact pending track is lost");
        }
        let known: BTreeSet<_> = field.said.records.keys().collect();
        assert!(said.records.keys().all(|key| known.contains(key)), "a record was made up");
        assert!(said.tracks.is_subset(&field.said.tracks), "a track was made up");
    }
}

#[test]
fn every_intact_row_of_a_file_cut_off_anywhere_comes_back() {
    let (field, bench) = (&*FIELD, Bench::new());
    let bytes = &field.closed;
    let oracle = Oracle::of(&bench.damaged(bytes, None));
    for step in 0..12 {
        let left = (bytes.len() * step / 11).saturating_sub(step * 1237 % 4096);
        let (store, report) = bench.recover(&bench.damaged(&bytes[..left], None));
        oracle.check(&store, &report, field, |page| page as usize * 4096 <= left);
    }
}

#[test]
fn a_ruined_page_costs_what_is_on_it_and_nothing_else() {
    let (field, bench) = (&*FIELD, Bench::new());
    let bytes = &field.closed;
    let oracle = Oracle::of(&bench.damaged(bytes, None));
    let pages = bytes.len() / 4096;
    for ruined in (1..=pages).step_by(pages / 10) {
        let mut bytes = bytes.clone();
        bytes[(ruined - 1) * 4096..ruined * 4096].fill(0x0d);
        let (store, report) = bench.recover(&bench.damaged(&bytes, None));
        oracle.check(&store, &report, field, |page| page as usize != ruined);
    }
}

#[test]
fn a_log_cut_off_anywhere_yields_at_least_what_sqlite_reads() {
    let (field, bench) = (&*FIELD, Bench::new());
    let (file, log) = (&field.file, &field.log);
    let clean = bench.0.path().join("clean.db");
    for step in 0..6 {
        let left = log.len() * step / 6 + step * 331 % 4096;
        fs::write(&clean, file).unwrap();
        fs::write(pages::log_beside(&clean), &log[..left]).unwrap();
        let checkpointed = Connection::open(&clean).unwrap().execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        let (store, report) = bench.recover(&bench.damaged(file, Some(&log[..left])));
        assert_eq!(report.failed, 0);
        checkpointed.unwrap();
        let oracle = Oracle::of(&clean);
        let (held, said) = (held_batches(&store), Said::by(&store, field.space));
        assert!(oracle.batches.iter().all(|(_, batch)| held.contains(&batch.id())));
        let mut pending = oracle.pending.iter().map(|(_, kind, id)| (kind.clone(), *id));
        assert!(pending.all(|key| said.records.contains_key(&key)));
    }
}

#[test]
fn an_edit_whose_record_is_lost_takes_nothing_from_it_when_it_comes_again() {
    let (space, control) = founded();
    let directory = tempfile::tempdir().unwrap();
    let live = directory.path().join("live.db");
    let store = Store::open(StoreConfig::device(&live, identity(1))).unwrap();
    let other = StoreConfig { identity: Some(identity(2)), ..StoreConfig::in_memory() };
    let other = Store::open(other).unwrap();
    for store in [&store, &other] {
        store.join_space(space).unwrap();
        store.ingest(space, &[(1, control.clone())], None).unwrap();
    }
    let id = other.write(|w| w.put(space, "event", None, event(1, 50))).unwrap();
    let (sealed, _) = other.outgoing(&[], &[], EVERYTHING).unwrap();
    store.ingest(space, &[(2, sealed[0].clone())], None).unwrap();
    let mut edit = state("resolved");
    edit.insert("lat".to_owned(), Some(Value::Float(1.5)));
    store.write(|w| w.patch(space, "event", id, edit)).unwrap();
    // The batch with the record is lost: it is not the batch any more that was signed.
    let sql = "UPDATE batch SET bytes = zeroblob(length(bytes)) WHERE log_offset = 2";
    drop(store);
    Connection::open(&live).unwrap().execute(sql, []).unwrap();
    let into = StoreConfig::device(directory.path().join("new.db"), identity(1));
    let report = Store::recover(&live, into.clone()).unwrap();
    assert_eq!((report.batches, report.pending_reauthored, report.failed), (1, 1, 0));
    let store = Store::open(into).unwrap();
    let alone = store.get(space, "event", id).unwrap().unwrap();
    assert_eq!(alone.fields.len(), 2);
    store.ingest(space, &[(2, sealed[0].clone())], None).unwrap();
    let whole = store.get(space, "event", id).unwrap().unwrap();
    assert_eq!(whole.fields["title"], event(1, 50)["title"]);
    assert_eq!(whole.fields["lat"], Value::Float(1.5));
    assert!(whole.conflicts > 0, "both states of the record are kept and shown");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn no_damage_brings_back_what_was_never_there(file_damage in damage(), log_damage in damage()) {
        let (field, bench) = (&*FIELD, Bench::new());
        let (mut bytes, mut log) = (field.file.clone(), field.log.clone());
        apply_damage(&mut bytes, file_damage);
        apply_damage(&mut log, log_damage);
        let (store, report) = bench.recover(&bench.damaged(&bytes, Some(&log)));
        let said = Said::by(&store, field.space);
        // Which record a pending row is of is covered by no hash; what it says is.
        let values = |said: &Said| -> Vec<Value> {
            said.records.values().flat_map(|(fields, ..)| fields.values().cloned()).collect()
        };
        let known = values(&field.said);
        let new = Value::from("new");
        prop_assert!(values(&said).iter().all(|value| *value == new || known.contains(value)), "{:?}", report);
        prop_assert!(said.tracks.is_subset(&field.said.tracks));
        prop_assert!(store.spaces().unwrap().iter().all(|space| *space == field.space), "{:?}", report);
    }
}
