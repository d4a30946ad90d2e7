//! The data directory: where each file of a relay lies, and how private files are written.
//!
//! Directories are readable by their owner alone, and so is every file in them. A file appears
//! under its name only when it is complete. `relay.key` is the last that `barid init` puts in
//! place: a directory without it has never served anybody.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use barid_core::id::OrganisationId;
use serde::{Deserialize, Serialize};

/// The files of one relay. Knows names, not contents.
#[derive(Debug, Clone)]
pub struct DataDir {
    root: PathBuf,
}

/// How long to wait for the right to serve a directory.
///
/// A relay that is killed just while it starts its worker leaves the lock to the half-started process
/// for a moment, and a command that asks whether a relay runs holds it for one: whoever starts the relay
/// again at once should not be told that another one runs.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_TRY_AGAIN: Duration = Duration::from_millis(20);

/// Only one relay serves a data directory: held while it does.
#[derive(Debug)]
pub struct ServeLock {
    file: File,
}

/// How devices reach a relay, which other commands cannot always tell from its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The address that travels in enrolment codes.
    pub device_url: String,
    /// The pin of the certificate that is served, in hexadecimal, if links are encrypted.
    pub certificate_pin: Option<String>,
}

impl DataDir {
    /// Names a directory, which need not exist.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether `barid init` was completed here.
    pub fn is_initialised(&self) -> bool {
        self.relay_key().exists()
    }

    /// The relay's and administrator's secret key.
    pub fn relay_key(&self) -> PathBuf {
        self.root.join("relay.key")
    }

    /// The directory of the organisations' secret keys.
    pub fn organisations(&self) -> PathBuf {
        self.root.join("organisations")
    }

    /// An organisation's secret key. It may be elsewhere: then this relay cannot enrol for it.
    pub fn organisation_key(&self, organisation: OrganisationId) -> PathBuf {
        self.organisations().join(format!("{organisation}.key"))
    }

    /// The log: ground state.
    pub fn log_db(&self) -> PathBuf {
        self.root.join("log.db")
    }

    /// Accounts, sessions, enrolment tokens: what this relay alone knows.
    pub fn relay_db(&self) -> PathBuf {
        self.root.join("relay.db")
    }

    /// The views, which can be deleted and rebuilt from the log.
    pub fn views_db(&self) -> PathBuf {
        self.root.join("views.db")
    }

    /// Which batches this version of the materialiser could not take in.
    pub fn aside_db(&self) -> PathBuf {
        self.root.join("aside.db")
    }

    /// The folder of attachments.
    pub fn attachments(&self) -> PathBuf {
        self.root.join("attachments")
    }

    /// What is known of the attachments beside their files.
    pub fn attachments_db(&self) -> PathBuf {
        self.root.join("attachments.db")
    }

    /// The directory of certificates.
    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.root.join(crate::config::FILE_NAME)
    }

    /// Makes a directory that only its owner may enter.
    pub fn create_private_dir(path: &Path) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
        restrict(path, 0o700)
    }

    /// Writes a file that only its owner may read, whole or not at all.
    pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut random = [0u8; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let unfinished = path.with_extension(format!("new-{}", barid_core::id::to_hex(&random)));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&unfinished)?;
        let written = file
            .write_all(bytes)
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&unfinished, path))
            .and_then(|()| sync_dir(path.parent().unwrap_or(Path::new("."))));
        if written.is_err() {
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Makes an empty private file if there is none, so that SQLite never creates one that others
    /// may read.
    pub fn touch_private(path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map(drop)
    }

    /// Lets only its owner read a database and what SQLite and the store keep beside it.
    pub fn restrict_database(path: &Path) -> io::Result<()> {
        for ending in ["", "-wal", "-shm", ".lock"] {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            match restrict(Path::new(&name), 0o600) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes the right to serve this directory, or says that another process has it: after a moment,
    /// see `LOCK_PATIENCE`.
    pub fn lock_for_serving(&self) -> io::Result<ServeLock> {
        let file = self.open_lock()?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(ServeLock { file }),
                Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => sleep(LOCK_TRY_AGAIN),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How the relay that now serves this directory is reached; `None` if none does.
    pub fn serving(&self) -> io::Result<Option<Serving>> {
        let file = self.open_lock()?;
        match file.try_lock() {
            Ok(()) => return Ok(None),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Not written yet: it is only just starting.
        Ok(serde_json::from_reader(&file).ok())
    }

    fn open_lock(&self) -> io::Result<File> {
        let path = self.root.join("serve.lock");
        Self::touch_private(&path)?;
        OpenOptions::new().read(true).write(true).open(path)
    }
}

impl ServeLock {
    /// Tells other commands how the relay is reached.
    pub fn say(&self, serving: &Serving) -> io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).write_all(serde_json::to_string(serving)?.as_bytes())
    }
}

/// Makes renames in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn restrict(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn restrict(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_is_written_is_readable_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        DataDir::create_private_dir(&inner).unwrap();
        DataDir::write_private(&inner.join("key"), b"one").unwrap();
        DataDir::write_private(&inner.join("key"), b"two").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&inner), 0o700);
        assert_eq!(mode(&inner.join("key")), 0o600);
        assert_eq!(fs::read(inner.join("key")).unwrap(), b"two");
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn a_directory_is_served_once_at_a_time() {
        let dir = DataDir::new(tempfile::tempdir().unwrap().keep());
        assert_eq!(dir.serving().unwrap(), None);
        let lock = dir.lock_for_serving().unwrap();
        assert!(dir.lock_for_serving().is_err());
        let serving = Serving { device_url: "ws://127.0.0.1:1".to_owned(), certificate_pin: None };
        lock.say(&serving).unwrap();
        assert_eq!(dir.serving().unwrap(), Some(serving));
        drop(lock);
        assert_eq!(dir.serving().unwrap(), None);
        assert!(dir.lock_for_serving().is_ok());
        fs::remove_dir_all(dir.root()).unwrap();
    }

    #[test]
    fn a_lock_that_is_let_go_in_a_moment_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::new(folder.path());
        let lock = dir.lock_for_serving().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                sleep(Duration::from_millis(100));
                drop(lock);
            });
            assert!(dir.lock_for_serving().is_ok());
        });
    }
}
