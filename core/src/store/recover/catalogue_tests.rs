#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::catalogue::{Adds, Catalogue, Trust};
use super::pages::DamagedFile;
use crate::batch::{BatchKind, ChangeEntry, Entry, Lane, SealSpec, SealedBatch, seal};
use crate::clock::Timestamp;
use crate::document;
use crate::id::{ActorId, BatchId, Incarnation, RecordId, SpaceId};
use crate::identity::Identity;
use crate::model::{Fields, Kind, TrackChunk, Value, track::Gap};

const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);

fn change(n: u8, len: usize) -> Vec<u8> {
    let fields = Fields::from([("note".to_owned(), Value::Text("ملاحظة ".repeat(len / 10)))]);
    let actor = ActorId::from_bytes([n; 16]);
    document::create(actor, Timestamp::from_millis(5), &Kind::undeclared("event"), &fields).unwrap()
}

fn chunk(n: u8) -> TrackChunk {
    let time = Timestamp::from_millis;
    let gap = Gap { from: time(0), to: time(9), reason: "paused".to_owned() };
    let (id, patrol) = (RecordId::from_bytes([n; 16]), RecordId::from_bytes([1; 16]));
    TrackChunk { id, patrol, positions: Vec::new(), gaps: vec![gap] }
}

/// A chain of batches of one entry each, of very different lengths.
fn chain(count: u8) -> Vec<SealedBatch> {
    let key = Identity::from_seed([3; 32]);
    let mut prev = BatchId::from_bytes([0; 32]);
    let batches = (1..=count).map(|n| {
        let entry = Entry::Change(ChangeEntry {
            record: RecordId::from_bytes([n; 16]),
            kind: "event".to_owned(),
            continues: false,
            change: change(n, usize::from(n) * 900),
        });
        let spec = SealSpec {
            key: &key,
            incarnation: Incarnation::from_bytes([2; 8]),
            space: SPACE,
            lane: Lane::Normal,
            seq: u64::from(n),
            prev,
            control_head: BatchId::from_bytes([0; 32]),
            kind: BatchKind::Entries,
            claimed_time: Timestamp::from_millis(5),
            seed: [n; 16],
        };
        let batch = seal(spec, &[entry]).unwrap();
        prev = batch.id();
        batch
    });
    batches.collect()
}

/// A database of the first schema, still open, as the store's own writer keeps it.
fn database(directory: &Path) -> (PathBuf, Connection) {
    let path = directory.join("field.db");
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "journal_mode", "wal").unwrap();
    db.execute_batch(include_str!("../migrations/0001_first.sql")).unwrap();
    db.execute("INSERT INTO space (space) VALUES (?1)", [SPACE.as_bytes()]).unwrap();
    (path, db)
}

fn insert_batch(db: &Connection, batch: &SealedBatch, acknowledged: bool) {
    let sql = "INSERT INTO batch (batch, chain, seq, log_offset, received_at, acknowledged, state, control,
        entries, bytes, prev) VALUES (?1, 1, ?2, 40, 1790000000000, ?3, 0, 0, 1, ?4, ?5)";
    let seq = batch.header().seq as i64;
    let prev = batch.header().prev;
    db.execute(sql, (batch.id().as_bytes(), seq, acknowledged, batch.as_bytes(), prev.as_bytes())).unwrap();
}

fn insert_pending(db: &Connection, kind: Option<&str>, record: u8, body: &[u8]) {
    let sql =
        "INSERT INTO pending (space, lane, write_group, kind, record, body) VALUES (?1, 1, 4, ?2, ?3, ?4)";
    db.execute(sql, (SPACE.as_bytes(), kind, [record; 16], body)).unwrap();
}

fn read(path: &Path) -> Catalogue {
    Catalogue::read(&DamagedFile::open(path, None).unwrap())
}

#[test]
fn batches_and_pending_rows_are_told_apart_and_read_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let (path, db) = database(directory.path());
    let batches = chain(40);
    for batch in batches.iter().rev() {
        insert_batch(&db, batch, batch.header().seq < 30);
    }
    insert_pending(&db, Some("event"), 50, &change(50, 300));
    insert_pending(&db, None, 51, &chunk(51).to_bytes().unwrap());
    insert_pending(&db, Some("event"), 52, &change(52, 30_000));
    let found = read(&path);
    assert_eq!(found.spaces, [SPACE]);
    let keys: Vec<_> = found.batches.keys().map(|key| (key.seq, key.id)).collect();
    assert_eq!(keys, batches.iter().map(|b| (b.header().seq, b.id())).collect::<Vec<_>>());
    let unsent = found.batches.values().filter(|batch| batch.acknowledged == Some(false)).count();
    assert_eq!(unsent, 11);
    assert!(found.batches.values().all(|batch| batch.log_offset == Some(40)));
    let pending: Vec<_> = found.pending.values().collect();
    assert_eq!(pending.iter().map(|p| p.record.as_bytes()[0]).collect::<Vec<_>>(), [50, 51, 52]);
    assert_eq!(pending[1].adds, Adds::Track);
    assert!(pending.iter().all(|p| p.trust == Trust::Current && p.write_group == 4));
    assert_eq!(found.carved.bytes_unreadable, 0);
}

#[test]
fn a_batch_or_change_with_a_flipped_bit_is_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let (path, db) = database(directory.path());
    let mut bytes = chain(1)[0].as_bytes().to_vec();
    for at in [3, 200, 210, 240, bytes.len() - 1] {
        bytes[at] ^= 4;
        db.execute(
            "INSERT INTO batch (batch, chain, seq, received_at, acknowledged, state, control, entries, bytes, prev)
            VALUES (?1, 1, 1, 1, 0, 0, 0, 1, ?2, ?3)",
            ([at as u8; 32], &bytes, [0; 32]),
        )
        .unwrap();
        bytes[at] ^= 4;
        let mut body = change(9, 300);
        let at = at % body.len();
        body[at] ^= 4;
        insert_pending(&db, Some("event"), 9, &body);
    }
    let found = read(&path);
    assert!(found.batches.is_empty() && found.pending.is_empty());
}

#[test]
fn what_was_sealed_and_deleted_is_of_the_past() {
    let directory = tempfile::tempdir().unwrap();
    let (path, db) = database(directory.path());
    for n in 0..200 {
        insert_pending(&db, Some("event"), n, &change(n, 900));
    }
    db.execute("DELETE FROM pending WHERE id <= 180", ()).unwrap();
    db.close().unwrap();
    let found = read(&path);
    let current = found.pending.iter().filter(|(_, p)| p.trust == Trust::Current);
    assert_eq!(current.map(|(key, _)| key.row).collect::<Vec<_>>(), (181..=200).collect::<Vec<_>>());
    assert!(found.pending.len() > 20, "free pages still hold rows");
}

#[test]
fn a_torn_write_counts_unless_the_writer_went_on_without_it() {
    let directory = tempfile::tempdir().unwrap();
    let (path, db) = database(directory.path());
    insert_pending(&db, Some("event"), 1, &change(1, 300));
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    insert_pending(&db, Some("event"), 2, &change(2, 300));
    let log = fs::read(directory.path().join("field.db-wal")).unwrap();
    // As a power cut left it: all of the second write but its commit, which is in the last frame.
    let copy = directory.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    let torn = &log[..log.len() - 24 - 4096];
    fs::write(directory.path().join("copy.db-wal"), torn).unwrap();
    let rows = |found: Catalogue| found.pending.iter().map(|(key, p)| (key.row, p.trust)).collect::<Vec<_>>();
    assert_eq!(rows(read(&copy)), [(1, Trust::Current), (2, Trust::Torn)]);
    // The writer went on: it gave the row's number to something else, in the file itself.
    let other = Connection::open(&copy).unwrap();
    insert_pending(&other, Some("event"), 3, &change(3, 300));
    other.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    other.close().unwrap();
    fs::write(directory.path().join("copy.db-wal"), torn).unwrap();
    assert_eq!(rows(read(&copy)).iter().filter(|row| row.1 == Trust::Torn).count(), 0);
}
