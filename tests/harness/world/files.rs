//! What a killed process leaves: the database and its write-ahead log, as they are at that moment.

use std::fs;
use std::path::{Path, PathBuf};

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Where a database's copy is kept.
pub(crate) fn copy_of(path: &Path, name: &str) -> PathBuf {
    with(path, name)
}

/// Copies a database as a kill at this moment would leave it. Nothing else runs meanwhile.
pub(crate) fn copy(from: &Path, to: &Path) {
    for ending in ["", "-wal"] {
        let (from, to) = (with(from, ending), with(to, ending));
        if from.exists() {
            fs::copy(&from, &to).unwrap();
        } else {
            fs::remove_file(&to).ok();
        }
    }
}

/// Puts a copy back in the place of a database that nobody has open.
pub(crate) fn put_back(copy: &Path, path: &Path) {
    fs::remove_file(with(path, "-shm")).ok();
    self::copy(copy, path);
}

/// Whether no store has its files open: whoever does holds a lock.
pub(crate) fn is_closed(path: &Path) -> bool {
    fs::File::open(with(path, ".lock")).is_ok_and(|file| file.try_lock().is_ok())
}
