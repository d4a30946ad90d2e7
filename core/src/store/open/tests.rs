#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::FileExt;

use super::*;
use crate::store::Store;

fn device(path: &Path) -> StoreConfig {
    StoreConfig::device(path, Arc::new(Identity::from_seed([1; 32])))
}

/// A store with some rows, closed again, and its bytes.
fn written(directory: &Path) -> (PathBuf, Vec<u8>) {
    let path = directory.join("field.db");
    drop(Store::open(device(&path)).unwrap());
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > 8 * 4096, "the tables alone take more than eight pages");
    (path, bytes)
}

#[test]
fn a_store_opened_twice_is_in_use_until_the_first_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    let first = Store::open(device(&path)).unwrap();
    assert!(matches!(Store::open(device(&path)), Err(OpenError::InUse)));
    let incarnation = first.incarnation();
    let second_handle = first.clone();
    drop(first);
    assert!(matches!(Store::open(device(&path)), Err(OpenError::InUse)));
    drop(second_handle);
    assert_eq!(Store::open(device(&path)).unwrap().incarnation(), incarnation);
}

#[test]
fn a_store_that_is_too_new_is_refused_and_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = written(directory.path());
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    for _ in 0..2 {
        let error = Store::open(device(&path)).unwrap_err();
        assert!(
            matches!(error, OpenError::TooNew { found, supported } if found == supported + 1),
            "{error:?}"
        );
        assert_eq!(fs::read(&path).unwrap(), before);
        assert!(damaged_beside(&path).is_empty());
    }
}

#[test]
fn another_programs_database_is_refused_and_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (a)").unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(Store::open(device(&path)), Err(OpenError::NotAStore)));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn another_devices_store_is_refused_and_still_opens_for_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = written(directory.path());
    let other = StoreConfig::device(&path, Arc::new(Identity::from_seed([2; 32])));
    let own = Identity::from_seed([1; 32]).device();
    assert!(matches!(Store::open(other), Err(OpenError::OtherDevice { device }) if device == own));
    assert!(Store::open(device(&path)).is_ok());
}

#[test]
fn a_damaged_file_is_kept_under_another_name_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let (path, intact) = written(directory.path());
    type Damage = fn(&[u8]) -> Vec<u8>;
    let damages: [(&str, Damage); 6] = [
        ("cut in half", |bytes| bytes[..bytes.len() / 2].to_vec()),
        ("cut within the header", |bytes| bytes[..50].to_vec()),
        ("cut to nothing", |_| Vec::new()),
        ("a header of zeros", |bytes| [&[0; 100], &bytes[100..]].concat()),
        ("a page of noise", |bytes| [&bytes[..4096], &[0xa5; 4096], &bytes[8192..]].concat()),
        ("no database at all", |_| b"hello".repeat(5000)),
    ];
    for (n, (damage, apply)) in (1..).zip(damages) {
        fs::write(&path, &intact).unwrap();
        fs::write(beside(&path, ".lock"), "a barid store is beside this file\n").unwrap();
        let damaged = apply(&intact);
        fs::write(&path, &damaged).unwrap();
        let error = Store::open(device(&path)).unwrap_err();
        let OpenError::Damaged { kept_as } = &error else { panic!("{damage}: {error:?}") };
        assert_eq!(*kept_as, beside(&path, &format!(".damaged-{n}")), "{damage}");
        assert_eq!(fs::read(kept_as).unwrap(), damaged, "{damage}");
        assert!(!path.exists(), "{damage}");
    }
    assert_eq!(damaged_beside(&path).len(), damages.len());
    assert!(Store::open(device(&path)).is_ok());
}

#[test]
fn what_only_the_write_ahead_log_holds_is_kept_with_a_damaged_file() {
    let directory = tempfile::tempdir().unwrap();
    let (path, _) = written(directory.path());
    let copy = directory.path().join("copy.db");
    {
        // Copied while open, as a crash leaves it.
        let store = Store::open(device(&path)).unwrap();
        let wal = beside(&path, "-wal");
        crate::store::set_meta(
            &store.inner.writer.lock().unwrap().connection.unchecked_transaction().unwrap(),
            "x",
            b"y",
        )
        .unwrap();
        store
            .inner
            .writer
            .lock()
            .unwrap()
            .connection
            .execute("INSERT INTO meta VALUES ('z', x'01')", [])
            .unwrap();
        assert!(fs::metadata(&wal).unwrap().len() > 0);
        fs::copy(&path, &copy).unwrap();
        fs::copy(&wal, beside(&copy, "-wal")).unwrap();
    }
    let wal = fs::read(beside(&copy, "-wal")).unwrap();
    fs::OpenOptions::new().write(true).open(&copy).unwrap().write_all_at(&[0xa5; 4096], 4096 * 3).unwrap();
    let error = Store::open(device(&copy)).unwrap_err();
    let OpenError::Damaged { kept_as } = &error else { panic!("{error:?}") };
    assert_eq!(fs::read(beside(kept_as, "-wal")).unwrap(), wal);
}

#[test]
fn a_first_opening_that_was_cut_off_is_finished_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("field.db");
    let connection = Connection::open(&path).unwrap();
    schema::prepare_writer(&connection, Durability::Full).unwrap();
    drop(connection);
    assert!(Store::open(device(&path)).is_ok());
}

/// A store copied while it is open, as a crash leaves it, its log holding that many more commits.
fn crashed(directory: &Path, commits: usize) -> PathBuf {
    let (path, _) = written(directory);
    let copy = directory.join("copy.db");
    let store = Store::open(device(&path)).unwrap();
    for n in 0..commits {
        let writer = store.inner.writer.lock().unwrap();
        writer.connection.execute("INSERT INTO meta VALUES (?1, x'01')", [n.to_string()]).unwrap();
    }
    fs::copy(&path, &copy).unwrap();
    fs::copy(beside(&path, "-wal"), beside(&copy, "-wal")).unwrap();
    copy
}

fn flip_in_frame(path: &Path, frame: u64) {
    let wal = fs::OpenOptions::new().read(true).write(true).open(beside(path, "-wal")).unwrap();
    let (at, mut byte) = (32 + frame * (24 + 4096) + 24 + 4000, [0]);
    wal.read_exact_at(&mut byte, at).unwrap();
    wal.write_all_at(&[!byte[0]], at).unwrap();
}

#[test]
fn commits_behind_a_broken_frame_of_the_log_are_damage_and_not_silence() {
    let directory = tempfile::tempdir().unwrap();
    let path = crashed(directory.path(), 5);
    flip_in_frame(&path, 1);
    let (file, log) = (fs::read(&path).unwrap(), fs::read(beside(&path, "-wal")).unwrap());
    let error = Store::open(device(&path)).unwrap_err();
    let OpenError::Damaged { kept_as } = &error else { panic!("{error:?}") };
    assert!(fs::read(kept_as).unwrap() == file && fs::read(beside(kept_as, "-wal")).unwrap() == log);
}

#[test]
fn a_last_write_torn_by_a_power_cut_is_no_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = crashed(directory.path(), 5);
    let frames = (fs::metadata(beside(&path, "-wal")).unwrap().len() - 32) / (24 + 4096);
    flip_in_frame(&path, frames - 1);
    assert!(Store::open(device(&path)).is_ok());
}

#[test]
fn a_page_that_could_not_be_read_is_no_damage() {
    let text = |code: u32| {
        format!("*** in database main ***\nTree 7 page 12: unable to get the page. error code={code}")
    };
    let stop = |found: &str| unread_page(found).map_or(Stop::Damaged, Stop::from);
    let is_refused = |stop: Stop| matches!(stop, Stop::Refused(OpenError::Database { .. }));
    assert!(is_refused(stop(&text(266))), "SQLITE_IOERR_READ");
    for damage in [text(11), text(26), "Tree 7 page 12: btreeInitPage() returns error code 11".to_owned()] {
        assert!(!is_refused(stop(&damage)));
    }
}
