//! Opening a store: what may be opened, and what happens to a file that is damaged.
//!
//! A damaged file is renamed and never deleted: what it holds may exist nowhere else. Its rows are
//! not trusted any more; `recover` reads what is intact into a new store.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::StoreError;
use super::key::{self, DatabaseKey, KeyError};
use super::lock::{Completed, Lock, beside};
use super::recover;
use super::schema::{self, Durability};
use crate::clock::{Clock, system_clock};
use crate::id::DeviceId;
use crate::identity::Identity;
use crate::migration::MigrationError;
use crate::model::Kinds;

/// Files up to this size are read through at each opening, which takes two to three milliseconds per
/// megabyte: an app that starts must not wait longer for that than for all else.
const CHECKED_LEN_MAX: u64 = 16 * 1024 * 1024;

/// Larger ones, up to this size, are read through when the last program that had them did not end well: a
/// cut of the power that spoils pages ends no program well. Otherwise only the structure is looked at, and
/// a damaged page is found when it is read.
const CHECKED_AFTER_A_CRASH_LEN_MAX: u64 = 128 * 1024 * 1024;

/// A source of randomness: fills the bytes. A test gives a seeded one.
pub type Entropy = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// What a store is opened with.
#[derive(Clone)]
pub struct StoreConfig {
    /// The database's file; in memory if there is none.
    pub path: Option<PathBuf>,
    /// Who records here. Without one the store is a replica: it takes in what others recorded.
    pub identity: Option<Arc<Identity>>,
    /// The kinds that this app declares.
    pub kinds: Kinds,
    /// What time it is.
    pub clock: Clock,
    /// Where randomness comes from.
    pub entropy: Entropy,
    /// What the file is encrypted with; not at all if there is none. Needs the feature `sqlcipher`, and
    /// one key for the whole life of a file. A store in memory has no use for it.
    pub key: Option<DatabaseKey>,
}

impl StoreConfig {
    /// A device's store in a file.
    pub fn device(path: impl Into<PathBuf>, identity: Arc<Identity>) -> Self {
        Self { path: Some(path.into()), identity: Some(identity), ..Self::in_memory() }
    }

    /// A replica in a file: it records nothing of its own.
    pub fn replica(path: impl Into<PathBuf>) -> Self {
        Self { path: Some(path.into()), ..Self::in_memory() }
    }

    /// A replica in memory, with the built-in kinds, this machine's clock and its randomness.
    pub fn in_memory() -> Self {
        Self {
            path: None,
            identity: None,
            kinds: Kinds::built_in(),
            clock: system_clock(),
            entropy: Arc::new(|bytes| {
                getrandom::fill(bytes).expect("identifiers need the system's randomness");
            }),
            key: None,
        }
    }
}

impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A store could not be opened. Nothing of what it holds is lost.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or this one, has it open.
    #[error("opening a store: it is already open")]
    InUse,
    /// A newer program wrote it. It is left untouched.
    #[error("opening a store: its schema is {found}, and this program knows up to {supported}")]
    TooNew {
        /// The file's schema.
        found: i32,
        /// The newest that this program knows.
        supported: i32,
    },
    /// Another program's database. It is left untouched.
    #[error("opening a store: the file is another program's database")]
    NotAStore,
    /// It belongs to another device. It is left untouched, with everything that was not sent.
    #[error("opening a store: it belongs to the device {device}")]
    OtherDevice {
        /// Whose it is.
        device: DeviceId,
    },
    /// It is not opened with this key, or without one. It is left untouched, and no other is made in its
    /// place.
    #[error("opening a store")]
    Key(#[from] KeyError),
    /// The file is damaged. It was renamed; what is intact in it can be recovered.
    #[error("opening a store: the file is damaged and was kept as {}", kept_as.display())]
    Damaged {
        /// Where it is now.
        kept_as: PathBuf,
    },
    /// The file system said no.
    #[error("opening a store: {attempted}")]
    Io {
        /// What was attempted.
        attempted: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// SQLite said no, and not because of damage.
    #[error("opening a store: the database does not open")]
    Database {
        /// Why.
        source: rusqlite::Error,
    },
    /// There is no store to read.
    #[error("opening a store: there is none to read")]
    Missing,
    /// What it holds does not read back.
    #[error("opening a store: its control records do not read back")]
    Unreadable {
        /// Why.
        source: Box<StoreError>,
    },
}

/// Why the checks of an opening stopped.
enum Stop {
    Damaged,
    Refused(OpenError),
}

impl From<rusqlite::Error> for Stop {
    fn from(source: rusqlite::Error) -> Self {
        if is_damage(&source) { Self::Damaged } else { Self::Refused(OpenError::Database { source }) }
    }
}

impl From<MigrationError> for Stop {
    fn from(error: MigrationError) -> Self {
        match error {
            MigrationError::TooNew { found, supported } => {
                Self::Refused(OpenError::TooNew { found, supported })
            }
            MigrationError::Database { source, .. } => source.into(),
        }
    }
}

/// Whether SQLite says that the file itself is damaged.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Opens the connection that writes, checked and migrated.
pub(super) fn open_file(
    path: &Path,
    durability: Durability,
    key: Option<&DatabaseKey>,
) -> Result<(Connection, Lock), OpenError> {
    let io = |attempted| move |source| OpenError::Io { attempted, source };
    key::check_supported(key)?;
    let mut lock = Lock::take(path).map_err(io("taking its lock"))?.ok_or(OpenError::InUse)?;
    let completed = lock.completed().map_err(io("reading its lock"))?;
    match open_checked(path, durability, key, completed) {
        Ok(connection) => {
            let now = if key.is_some() { Completed::Encrypted } else { Completed::Plain };
            if completed != now {
                lock.set_completed(now).map_err(io("writing its lock"))?;
            }
            Ok((connection, lock))
        }
        Err(Stop::Refused(error)) => Err(error),
        Err(Stop::Damaged) => {
            let kept_as = set_aside(path).map_err(io("renaming a damaged file"))?;
            lock.set_completed(Completed::No).map_err(io("writing its lock"))?;
            Err(OpenError::Damaged { kept_as })
        }
    }
}

/// Opens a database in memory.
pub(super) fn open_memory() -> Result<Connection, OpenError> {
    let open = || -> Result<Connection, Stop> {
        let mut connection = Connection::open_in_memory()?;
        schema::prepare_reader(&connection)?;
        schema::migrate(&mut connection)?;
        Ok(connection)
    };
    open().map_err(|stop| match stop {
        Stop::Refused(error) => error,
        Stop::Damaged => unreachable!("a new database in memory is not damaged"),
    })
}

fn open_checked(
    path: &Path,
    durability: Durability,
    key: Option<&DatabaseKey>,
    completed: Completed,
) -> Result<Connection, Stop> {
    let len = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(source) => return Err(Stop::Refused(OpenError::Io { attempted: "looking at it", source })),
    };
    if len > 0 {
        check_head(path, key, completed)?;
        check_version(path, key)?;
    } else if completed != Completed::No && path.exists() {
        return Err(Stop::Damaged);
    }
    // Where every commit is on the disk before the next begins, SQLite still reads a log only up to
    // a broken frame, and would write over what lies behind.
    let io = |source| Stop::Refused(OpenError::Io { attempted: "reading its log", source });
    if durability == Durability::Full && recover::log_hides_commits(path).map_err(io)? {
        return Err(Stop::Damaged);
    }
    // Who ends well folds its log into the file.
    let was_left = fs::metadata(beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    let checked_len_max = if was_left { CHECKED_AFTER_A_CRASH_LEN_MAX } else { CHECKED_LEN_MAX };
    let mut connection = key::connect(path, OpenFlags::default(), key)?;
    // A damaged file is kept with its write-ahead log, which closing would otherwise fold into it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    schema::prepare_writer(&connection, durability)?;
    if len > 0 {
        check_pages(&connection, key, len, checked_len_max)?;
    }
    schema::migrate(&mut connection)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(connection)
}

/// SQLite itself takes a file shorter than a header for an empty database.
fn check_head(path: &Path, key: Option<&DatabaseKey>, completed: Completed) -> Result<(), Stop> {
    let fits = key::check(path, key, completed);
    let io = |source| Stop::Refused(OpenError::Io { attempted: "reading it", source });
    fits.map_err(io)?.map_err(|error| Stop::Refused(error.into()))?;
    if key.is_some() {
        return Ok(());
    }
    let mut head = [0; 16];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    match read {
        Ok(()) if &head == key::PLAIN_HEAD => Ok(()),
        Ok(()) => Err(Stop::Damaged),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Stop::Damaged),
        Err(source) => Err(Stop::Refused(OpenError::Io { attempted: "reading it", source })),
    }
}

/// Looks with a connection that cannot write, so that what is refused stays untouched.
fn check_version(path: &Path, key: Option<&DatabaseKey>) -> Result<(), Stop> {
    let connection = key::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, key)?;
    let found: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    // No tables at all: a first opening that was cut off.
    if application != schema::APPLICATION_ID && tables > 0 {
        return Err(Stop::Refused(OpenError::NotAStore));
    }
    if found > schema::VERSION {
        return Err(Stop::Refused(OpenError::TooNew { found, supported: schema::VERSION }));
    }
    Ok(())
}

fn check_pages(
    connection: &Connection,
    key: Option<&DatabaseKey>,
    len: u64,
    checked_len_max: u64,
) -> Result<(), Stop> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let page_len = match key {
        // SQLCipher answers with a text.
        Some(_) => key::PAGE_LEN as i64,
        None => connection.pragma_query_value(None, "page_size", |row| row.get(0))?,
    };
    // Pages written last may still be in the write-ahead log, so a short file is only suspicious.
    let is_short = pages.saturating_mul(page_len) as u64 > len;
    if len <= checked_len_max || is_short {
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(unread_page(&found).map_or(Stop::Damaged, Stop::from));
        }
    }
    Ok(())
}

/// The error, if what SQLite's check found is a page that could not be read just now: it tells of that as
/// if the page were damaged, and a sound file must not be put aside for a disk that fails for a moment.
fn unread_page(found: &str) -> Option<rusqlite::Error> {
    let (_, code) = found.rsplit_once("error code=")?;
    let digits = code.split(|c: char| !c.is_ascii_digit()).next()?;
    Some(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(digits.parse().ok()?),
        Some(found.to_owned()),
    ))
}

/// Renames the damaged file and what SQLite keeps beside it.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let kept_as = (1..)
        .map(|n| beside(path, &format!(".damaged-{n}")))
        .find(|name| !name.exists())
        .expect("a number is free");
    for ending in ["-wal", "-shm"] {
        match fs::rename(beside(path, ending), beside(&kept_as, ending)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, &kept_as)?;
    Ok(kept_as)
}

/// The damaged files that earlier openings of this store kept, the oldest first.
pub fn damaged_beside(path: &Path) -> Vec<PathBuf> {
    (1..).map(|n| beside(path, &format!(".damaged-{n}"))).take_while(|name| name.exists()).collect()
}

/// Opens one more connection to a store that is open, to read only.
pub(super) fn open_reader(path: &Path, key: Option<&DatabaseKey>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = key::connect(path, flags, key)?;
    schema::prepare_reader(&connection)?;
    Ok(connection)
}

/// Opens a connection to a store that another process writes.
pub(super) fn open_beside(path: &Path, key: Option<&DatabaseKey>) -> Result<Connection, OpenError> {
    key::check_supported(key)?;
    if !path.exists() {
        return Err(OpenError::Missing);
    }
    let opened =
        check_head(path, key, Completed::No).and_then(|()| check_version(path, key)).and_then(|()| {
            let connection = open_reader(path, key)?;
            let found: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            // The process that writes has not made its tables yet.
            if found == schema::VERSION { Ok(connection) } else { Err(Stop::Refused(OpenError::Missing)) }
        });
    opened.map_err(|stop| match stop {
        Stop::Refused(error) => error,
        // Whoever writes it will find the damage and set the file aside.
        Stop::Damaged => OpenError::Missing,
    })
}

#[cfg(test)]
mod tests;
