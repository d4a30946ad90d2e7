//! One process, one writer: the file `<path>.lock` is locked as long as a store is open.
//!
//! The lock is the operating system's and ends with the process, however it ends. What the file
//! holds says that a store was once completed beside it, so that a store cut down to nothing is
//! told from one that was never made; and whether it was encrypted, so that one whose first bytes are
//! lost is not taken for a damaged plain one when its key is not given.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PLAIN: &[u8] = b"a barid store is beside this file\n";
const ENCRYPTED: &[u8] = b"an encrypted barid store is beside this file\n";

/// What was once completed beside a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completed {
    /// Nothing.
    No,
    /// A store that anybody can read.
    Plain,
    /// A store that is read with a key.
    Encrypted,
}

/// A process that this one is just starting has a copy of every open file for a moment, of a lock
/// that was let go as well.
const TRIES: usize = 5;
const TRY_AGAIN: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// The file's name with an ending added: `a.db` becomes `a.db.lock`.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

impl Lock {
    /// Takes the lock; `None` if somebody holds it.
    pub(super) fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(beside(path, ".lock"))?;
        let mut tries = 0..TRIES;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { file })),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if tries.next().is_none() => return Ok(None),
                Err(TryLockError::WouldBlock) => std::thread::sleep(TRY_AGAIN),
            }
        }
    }

    /// What was once completed here.
    pub(super) fn completed(&mut self) -> io::Result<Completed> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut held = Vec::new();
        (&self.file).take(ENCRYPTED.len() as u64).read_to_end(&mut held)?;
        Ok(match held.as_slice() {
            PLAIN => Completed::Plain,
            ENCRYPTED => Completed::Encrypted,
            _ => Completed::No,
        })
    }

    /// Notes what is complete here.
    pub(super) fn set_completed(&mut self, completed: Completed) -> io::Result<()> {
        let text: &[u8] = match completed {
            Completed::No => b"",
            Completed::Plain => PLAIN,
            Completed::Encrypted => ENCRYPTED,
        };
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(text)?;
        self.file.sync_data()
    }
}
