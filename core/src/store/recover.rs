//! Brings back what a damaged database still holds.

mod carve;
mod catalogue;
mod pages;
mod record;
mod wal;

#[cfg(test)]
mod carve_tests;
#[cfg(test)]
mod catalogue_tests;

use std::path::Path;
use std::{fs, io};

/// Whether commits lie in the write-ahead log behind a broken frame, where SQLite does not look:
/// opening the database would lose them without a word. True only of a log of which every commit
/// was on the disk before the next began.
pub(super) fn log_hides_commits(path: &Path) -> io::Result<bool> {
    let log = match fs::File::open(pages::log_beside(path)) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match wal::stated_page_len(&log) {
        Some(page_len) => Ok(wal::Wal::read(log, page_len)?.hides_commits()),
        None => Ok(false),
    }
}
