//! Copies of a relay's files: private, hashed as they are written, durable when a function returns.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::data_dir::DataDir;

/// Tries of a copy while the database is locked for a moment, 100 ms apart.
const TRIES_MAX: u32 = 100;

/// A file's length and BLAKE3 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) len: u64,
    pub(super) hash: blake3::Hash,
}

/// Reads a file through.
pub(super) fn content_of(path: &Path) -> io::Result<Content> {
    read_through(path, |_| Ok(()))
}

/// Copies a file to where there is none, for its owner alone.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<Content> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut copy = options.open(to)?;
    let content = read_through(from, |piece| copy.write_all(piece))?;
    copy.sync_all()?;
    Ok(content)
}

fn read_through(path: &Path, mut piece: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<Content> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut len = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(Content { len, hash: hasher.finalize() });
        }
        hasher.update(&buffer[..read]);
        piece(&buffer[..read])?;
        len += read as u64;
    }
}

/// A database as it can be read beside whoever writes it.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(connection)
}

/// A database cannot be copied.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// The new file.
    #[error("making the copy's file")]
    File(#[source] io::Error),
    /// Either database.
    #[error("copying a database")]
    Database(#[from] rusqlite::Error),
}

/// Copies a database as of one moment, while others write to it, into one file that needs no second.
pub(super) fn copy_database(from: &Path, to: &Path) -> Result<Connection, CopyError> {
    let source = open_to_read(from)?;
    DataDir::touch_private(to).map_err(CopyError::File)?;
    let mut copy = Connection::open(to)?;
    {
        let backup = Backup::new(&source, &mut copy)?;
        let mut tries = 0;
        // All pages in one step: it reads one snapshot, which holds up no writer. In several steps,
        // each commit of another process would begin the copy anew, and a busy log would never be done.
        while backup.step(-1)? != StepResult::Done {
            tries += 1;
            if tries == TRIES_MAX {
                let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                return Err(rusqlite::Error::SqliteFailure(busy, None).into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    Ok(copy)
}
