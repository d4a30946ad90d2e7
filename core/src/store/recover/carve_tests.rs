#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rusqlite::Connection;

use super::carve::carve;
use super::pages::{DamagedFile, page_len_is_valid};
use super::record::Column;

/// Rows by id: a blob that begins with its own hash, so that a row read wrongly is noticed.
type Rows = BTreeMap<i64, Vec<u8>>;

fn proven_blob(seed: i64, len: usize) -> Vec<u8> {
    let mut body = vec![0; len];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut body);
    let mut blob = blake3::hash(&body).as_bytes().to_vec();
    blob.extend(body);
    blob
}

fn proves_itself(blob: &[u8]) -> bool {
    blob.split_at_checked(32).is_some_and(|(hash, body)| blake3::hash(body).as_bytes() == hash)
}

/// Lengths around every boundary of the format: in the page, just over, many pages.
const LENS: [usize; 12] = [0, 9, 80, 300, 900, 3_000, 4_020, 4_030, 4_100, 9_000, 70_000, 200_000];

fn open(path: &Path, page_len: usize) -> Connection {
    let db = Connection::open(path).unwrap();
    db.pragma_update(None, "page_size", page_len as i64).unwrap();
    db.pragma_update(None, "journal_mode", "wal").unwrap();
    db.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS thing (id INTEGER PRIMARY KEY, number INTEGER, real REAL,
         word TEXT, bytes BLOB, empty);
         CREATE INDEX IF NOT EXISTS thing_word ON thing (word);",
    )
    .unwrap();
    db
}

fn insert(db: &Connection, ids: impl IntoIterator<Item = i64>) {
    db.execute_batch("BEGIN").unwrap();
    for id in ids {
        let blob = proven_blob(id, LENS[id as usize % LENS.len()]);
        db.execute(
            "INSERT INTO thing VALUES (?1, ?2, 0.5, 'كلمة', ?3, NULL)",
            (id, id * 1_000_003 - 70_000, blob),
        )
        .unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
}

fn log_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-wal", path.display()))
}

/// Copies a database that is still open, as a crash would leave it.
fn copy_to(path: &Path, to: &Path) -> PathBuf {
    let copy = to.join("copy.db");
    fs::copy(path, &copy).unwrap();
    let _ = fs::remove_file(log_of(&copy));
    if log_of(path).exists() {
        fs::copy(log_of(path), log_of(&copy)).unwrap();
    }
    copy
}

fn carved(path: &Path) -> Rows {
    let file = DamagedFile::open(path, None).unwrap();
    let mut rows = Rows::new();
    carve(&file, |row| match row.columns.as_slice() {
        [Column::Null, Column::Integer(n), _, Column::Text(_), Column::Blob(blob), Column::Null]
            if proves_itself(blob) =>
        {
            assert_eq!(*n, row.rowid.unwrap() * 1_000_003 - 70_000);
            rows.insert(row.rowid.unwrap(), blob.to_vec());
            true
        }
        _ => false,
    });
    rows
}

fn selected(path: &Path) -> Rows {
    let db = Connection::open(path).unwrap();
    let mut statement = db.prepare("SELECT id, bytes FROM thing").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// Which pages each row lies on, as SQLite itself says.
pub(super) fn pages_of_rows(path: &Path, table: &str) -> BTreeMap<i64, BTreeSet<i64>> {
    let db = Connection::open(path).unwrap();
    let all = |sql: &str| -> Vec<(String, i64, i64)> {
        let mut statement = db.prepare(sql).unwrap();
        let rows = statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    let of_type = |kind: &str, ncell: &str| {
        all(&format!(
            "SELECT path, pageno, {ncell} FROM dbstat WHERE name = '{table}' AND pagetype = '{kind}' ORDER BY path"
        ))
    };
    let (leaves, overflows) = (of_type("leaf", "ncell"), of_type("overflow", "0"));
    let ids = all(&format!("SELECT '', id, 0 FROM {table} ORDER BY id"));
    let mut ids = ids.into_iter().map(|(_, id, _)| id);
    let mut pages = BTreeMap::new();
    for (path, page, cells) in leaves {
        for cell in 0..cells {
            let prefix = format!("{path}{cell:03x}+");
            let of_cell = overflows.iter().filter(|(path, ..)| path.starts_with(&prefix));
            let row = of_cell.map(|(_, page, _)| *page).chain([page]).collect();
            pages.insert(ids.next().unwrap(), row);
        }
    }
    assert_eq!(ids.next(), None);
    pages
}

/// A closed database of one file, and what it holds.
fn closed_database(directory: &Path, page_len: usize, rows: i64) -> (PathBuf, Rows) {
    let path = directory.join("closed.db");
    let db = open(&path, page_len);
    insert(&db, 0..rows);
    db.close().unwrap();
    assert!(!log_of(&path).exists());
    let rows = selected(&path);
    (path, rows)
}

#[test]
fn every_row_of_an_intact_file_is_found_at_every_page_size() {
    for page_len in (9..=16).map(|power| 1 << power) {
        let directory = tempfile::tempdir().unwrap();
        let (path, rows) = closed_database(directory.path(), page_len, 60);
        assert_eq!(DamagedFile::open(&path, None).unwrap().page_len(), page_len);
        assert_eq!(carved(&path), rows, "pages of {page_len} bytes");
    }
}

#[test]
fn rows_still_in_the_log_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.db");
    let db = open(&path, 4096);
    insert(&db, 0..30);
    db.execute_batch("PRAGMA wal_checkpoint").unwrap();
    insert(&db, 30..60);
    let copy = copy_to(&path, directory.path());
    let found = carved(&copy);
    assert_eq!(found, selected(&path));
    assert_eq!(found.len(), 60);
}

#[test]
fn a_log_cut_off_anywhere_yields_at_least_what_sqlite_reads() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.db");
    let db = open(&path, 4096);
    insert(&db, 0..24);
    db.execute_batch("PRAGMA wal_checkpoint").unwrap();
    for start in (24..60).step_by(6) {
        insert(&db, start..start + 6);
    }
    let len = fs::metadata(log_of(&path)).unwrap().len();
    for step in 0..40 {
        let copy = copy_to(&path, directory.path());
        let log = fs::OpenOptions::new().write(true).open(log_of(&copy)).unwrap();
        log.set_len(len * step / 40 + step * 7 % 24).unwrap();
        let found = carved(&copy);
        for (id, blob) in selected(&copy) {
            assert_eq!(found.get(&id), Some(&blob), "row {id}, step {step}");
        }
    }
}

#[test]
fn a_broken_frame_hides_only_the_rows_on_its_page() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.db");
    let db = open(&path, 4096);
    for start in (0..60).step_by(6) {
        insert(&db, start..start + 6);
    }
    let copy = copy_to(&path, directory.path());
    let mut log = fs::read(log_of(&copy)).unwrap();
    log[32 + 24 + 4096 + 24 + 2000] ^= 1;
    fs::write(log_of(&copy), log).unwrap();
    assert!(carved(&copy).len() >= 54);
    assert!(selected_or_none(&copy).is_none_or(|rows| rows.is_empty()), "SQLite stops there");
}

fn selected_or_none(path: &Path) -> Option<Vec<i64>> {
    let db = Connection::open(path).ok()?;
    let mut statement = db.prepare("SELECT id FROM thing").ok()?;
    let rows = statement.query_map([], |row| row.get(0)).ok()?;
    rows.collect::<Result<_, _>>().ok()
}

#[test]
fn rows_never_committed_are_marked_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.db");
    let db = open(&path, 4096);
    insert(&db, 0..6);
    db.pragma_update(None, "cache_size", 2).unwrap();
    db.execute_batch("BEGIN").unwrap();
    for id in 6..40 {
        let blob = proven_blob(id, 900);
        db.execute("INSERT INTO thing VALUES (?1, 0, 0, 'w', ?2, NULL)", (id, blob)).unwrap();
    }
    let copy = copy_to(&path, directory.path());
    let file = DamagedFile::open(&copy, None).unwrap();
    let mut never_committed = 0;
    carve(&file, |row| {
        let proven = matches!(row.columns.get(4), Some(Column::Blob(blob)) if proves_itself(blob));
        if proven && row.rowid.unwrap() < 6 {
            assert!(row.committed || !row.current);
        } else if proven {
            assert!(!row.committed && !row.current);
            never_committed += 1;
        }
        proven
    });
    assert!(never_committed > 10);
}

#[test]
fn deleted_rows_are_not_current() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.db");
    let db = open(&path, 4096);
    insert(&db, 0..60);
    db.execute("DELETE FROM thing WHERE id >= 12", ()).unwrap();
    db.close().unwrap();
    let (mut current, mut deleted) = (BTreeSet::new(), 0);
    carve(&DamagedFile::open(&path, None).unwrap(), |row| {
        let proven = matches!(row.columns.get(4), Some(Column::Blob(blob)) if proves_itself(blob));
        if proven && row.current {
            current.insert(row.rowid.unwrap());
        }
        deleted += usize::from(proven && !row.current);
        proven
    });
    assert_eq!(current, (0..12).collect());
    assert!(deleted > 0, "free pages still hold rows");
}

#[test]
fn a_lost_header_does_not_matter() {
    for page_len in [512, 4096, 65_536] {
        let directory = tempfile::tempdir().unwrap();
        let (path, rows) = closed_database(directory.path(), page_len, 60);
        let mut bytes = fs::read(&path).unwrap();
        bytes[..100].fill(0xa5);
        fs::write(&path, bytes).unwrap();
        assert_eq!(carved(&path), rows, "pages of {page_len} bytes");
    }
}

#[test]
fn a_file_cut_off_anywhere_yields_every_row_whose_pages_are_left() {
    let directory = tempfile::tempdir().unwrap();
    let (path, rows) = closed_database(directory.path(), 4096, 72);
    let pages = pages_of_rows(&path, "thing");
    let len = fs::metadata(&path).unwrap().len();
    for step in 0..30 {
        let left = len * step / 30 + step * 97 % 4096;
        let copy = copy_to(&path, directory.path());
        fs::OpenOptions::new().write(true).open(&copy).unwrap().set_len(left).unwrap();
        let found = carved(&copy);
        for (id, pages) in &pages {
            if pages.iter().all(|page| *page as u64 * 4096 <= left) {
                assert_eq!(found.get(id), rows.get(id), "row {id}, {left} bytes");
            }
        }
        assert!(found.iter().all(|(id, blob)| rows.get(id) == Some(blob)));
    }
}

#[test]
fn a_ruined_page_costs_the_rows_on_it_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (path, rows) = closed_database(directory.path(), 4096, 72);
    let pages = pages_of_rows(&path, "thing");
    let bytes = fs::read(&path).unwrap();
    for ruined in (1..=bytes.len() / 4096).step_by(5) {
        let mut bytes = bytes.clone();
        let page = &mut bytes[(ruined - 1) * 4096..ruined * 4096];
        page.copy_from_slice(&proven_blob(ruined as i64, 4096 - 32));
        let copy = directory.path().join("ruined.db");
        fs::write(&copy, bytes).unwrap();
        let found = carved(&copy);
        let spared = pages.iter().filter(|(_, pages)| !pages.contains(&(ruined as i64)));
        assert_eq!(found.keys().collect::<Vec<_>>(), spared.map(|(id, _)| id).collect::<Vec<_>>());
        assert!(found.iter().all(|(id, blob)| rows.get(id) == Some(blob)));
    }
}

#[test]
fn an_overflow_chain_that_bites_its_tail_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = closed_database(directory.path(), 512, 24);
    let mut bytes = fs::read(&path).unwrap();
    // Every page that is no tree page says that itself comes next.
    for (number, page) in (1u32..).zip(bytes.chunks_mut(512)) {
        if !matches!(page[0], 2 | 5 | 10 | 13 | b'S') {
            page[..4].copy_from_slice(&number.to_be_bytes());
        }
    }
    fs::write(&path, bytes).unwrap();
    assert!(!carved(&path).is_empty());
}

pub(super) fn damage() -> impl Strategy<Value = (usize, Vec<(prop::sample::Index, Vec<u8>)>)> {
    let patch = (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..40));
    (0usize..100, prop::collection::vec(patch, 0..40))
}

pub(super) fn apply_damage(
    bytes: &mut Vec<u8>,
    (left, patches): (usize, Vec<(prop::sample::Index, Vec<u8>)>),
) {
    bytes.truncate(bytes.len() * (100 - left / 2) / 100);
    for (at, patch) in patches {
        let Some(last) = bytes.len().checked_sub(patch.len()).filter(|last| *last > 0) else { continue };
        let at = at.index(last);
        bytes[at..at + patch.len()].copy_from_slice(&patch);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_damage_makes_a_row_wrong(file_damage in damage(), log_damage in damage(), page_power in 9u32..14) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("live.db");
        let db = open(&path, 1 << page_power);
        insert(&db, 0..20);
        db.execute_batch("PRAGMA wal_checkpoint").unwrap();
        insert(&db, 20..30);
        let rows = selected(&path);
        let copy = copy_to(&path, directory.path());
        let (mut bytes, mut log) = (fs::read(&copy).unwrap(), fs::read(log_of(&copy)).unwrap());
        apply_damage(&mut bytes, file_damage);
        apply_damage(&mut log, log_damage);
        fs::write(&copy, &bytes).unwrap();
        fs::write(log_of(&copy), &log).unwrap();
        let file = DamagedFile::open(&copy, None).unwrap();
        prop_assert!(page_len_is_valid(file.page_len()));
        let mut wrong = 0;
        carve(&file, |row| {
            row.columns.iter().any(|column| match column {
                Column::Blob(blob) if proves_itself(blob) => {
                    wrong += usize::from(!rows.values().any(|known| known == blob));
                    true
                }
                _ => false,
            })
        });
        prop_assert_eq!(wrong, 0);
        prop_assert!(fs::read(&copy).unwrap() == bytes);
        prop_assert!(fs::read(log_of(&copy)).unwrap() == log);
    }

    #[test]
    fn any_bytes_are_carved_without_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..20_000),
        log in prop::option::of(prop::collection::vec(any::<u8>(), 0..9_000)),
        leaf_every in prop::option::of(prop::sample::select(vec![512usize, 1024, 4096])),
    ) {
        // Most random pages are no tree pages: say that some are, with many cells.
        if let Some(page_len) = leaf_every {
            for page in bytes.chunks_mut(page_len).filter(|page| page.len() > 8) {
                page[0] = 13;
                page[3] = 0;
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("random.db");
        fs::write(&path, bytes).unwrap();
        if let Some(mut log) = log {
            if log.len() > 12 {
                log[..4].copy_from_slice(&[0x37, 0x7f, 6, 0x82]);
                log[8..12].copy_from_slice(&512u32.to_be_bytes());
            }
            fs::write(log_of(&path), log).unwrap();
        }
        carve(&DamagedFile::open(&path, None).unwrap(), |_| false);
    }
}
