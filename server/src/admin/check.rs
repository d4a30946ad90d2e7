//! `barid check`: whether a relay's files are what the relay wrote.
//!
//! Reads, and changes nothing; the relay may run. The log is read through batch by batch, and what the
//! views show is compared with what the log amounts to, taken in afresh by a second replica, up to
//! where the views have come; and every record with more than one change with what Automerge makes of
//! its changes. Damage is a finding, not a failure.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barid_core::id::{AttachmentHash, RecordId, SpaceId, to_hex};
use barid_core::position::Cursor;
use barid_core::store::{IngestError, OpenError, Store, StoreConfig, StoreError};

use super::copy::{CopyError, content_of, copy_database, open_to_read};
use crate::blob::file::FileBlobs;
use crate::blob::{BlobError, Blobs as _};
use crate::data_dir::DataDir;
use crate::keys::{self, KeyError};
use crate::log::LogError;
use crate::log::audit::{Audited, Fault, audit};
use crate::log::reader::LogReader;
use crate::materialiser::aside::{Aside, AsideError};

/// Bytes of batches taken in at once.
const STEP_LEN_MAX: usize = 512 * 1024;

/// What was found, and how much was looked at.
#[derive(Debug)]
pub struct Checked {
    /// What is not as it should be; empty if all is well.
    pub findings: Vec<Finding>,
    /// How much of the log was read.
    pub log: Audited,
    /// What became of the comparison of the views.
    pub views: Views,
    /// Attachments that were compared with their hashes.
    pub attachments: u64,
}

/// Whether the views were compared with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Views {
    /// They were.
    Compared {
        /// Records with more than one change, which Automerge merged too.
        merged: u64,
    },
    /// There are none yet: `barid serve` builds them.
    NotBuilt,
    /// They cannot be, while the log has faults or they cannot be read.
    NotCompared,
}

/// Something that is not as the relay wrote it.
#[derive(Debug, thiserror::Error)]
pub enum Finding {
    /// A file without which there is no relay.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// SQLite's own check found something.
    #[error("{file}: {message}")]
    Integrity {
        /// The file.
        file: &'static str,
        /// What SQLite says.
        message: String,
    },
    /// A row refers to another that is not there.
    #[error("{file}: a row of `{table}` refers to one that is not there")]
    Reference {
        /// The file.
        file: &'static str,
        /// The table.
        table: String,
    },
    /// SQLite cannot read the file.
    #[error("{file} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        file: &'static str,
        /// What SQLite says.
        cause: rusqlite::Error,
    },
    /// The log.
    #[error("log.db: {0}")]
    Log(Fault),
    /// The audit trail was changed, or something was left out of it.
    #[error("log.db: the audit trail is not as it was written from entry {0} on")]
    Trail(u64),
    /// An attachment has another hash than its name.
    #[error(
        "attachments, space {0}: {1} is not what was sent; without the file, phones that have it send it again"
    )]
    Attachment(SpaceId, AttachmentHash),
    /// An attachment cannot be read.
    #[error("attachments: {0}")]
    AttachmentUnread(BlobError),
    /// A key.
    #[error("{0}")]
    Key(KeyError),
    /// The views cannot be opened.
    #[error("views.db does not open; without it, `barid serve` builds it anew: {0}")]
    ViewsUnopened(OpenError),
    /// The views were built from another log.
    #[error("views.db, space {0}: it is of another log; `barid serve` builds it anew")]
    ViewsOfAnotherLog(SpaceId),
    /// The views show something else than the log.
    #[error(
        "views.db, space {0}: it does not show what the log amounts to; without it, `barid serve` builds it anew"
    )]
    ViewsDiffer(SpaceId),
    /// Automerge makes something else of a record's changes.
    #[error("views.db, space {space}: {kind} {record} is not what Automerge makes of its changes")]
    MergeDiffers {
        /// The space.
        space: SpaceId,
        /// The record's kind.
        kind: String,
        /// The record.
        record: RecordId,
    },
    /// A batch cannot be taken in.
    #[error("log.db, space {space}, offset {offset}: no replica can take the batch in")]
    Stopped {
        /// The space.
        space: SpaceId,
        /// Where.
        offset: u64,
    },
}

/// The check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There is no relay here.
    #[error("there is no relay in {0}")]
    NoRelay(PathBuf),
    /// Comparing the views needs room for a copy of them, in a folder within the data directory.
    #[error("making room in {path}")]
    Room {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The replica for comparison.
    #[error("opening a second replica")]
    Open(#[from] OpenError),
    /// The replica for comparison.
    #[error("reading a replica")]
    Store(#[from] StoreError),
    /// The replica for comparison.
    #[error("taking the log into a second replica")]
    Ingest(#[from] IngestError),
    /// The log, which was sound a moment ago.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What the relay skips on purpose.
    #[error(transparent)]
    Aside(#[from] AsideError),
}

/// Checks the relay in a data directory.
pub fn check(data: &DataDir) -> Result<Checked, CheckError> {
    if !data.relay_key().exists() && !data.log_db().exists() {
        return Err(CheckError::NoRelay(data.root().to_owned()));
    }
    let mut findings = Vec::new();
    check_keys(data, &mut findings);
    check_database("relay.db", &data.relay_db(), &mut findings);
    let attachments = check_attachments(data, &mut findings);
    let log = check_log(data, &mut findings);
    let views = if !data.views_db().exists() {
        Views::NotBuilt
    } else if !check_database("views.db", &data.views_db(), &mut findings) || log.is_none() {
        Views::NotCompared
    } else {
        compare_views(data, &mut findings)?
    };
    Ok(Checked { findings, log: log.unwrap_or_default(), views, attachments })
}

/// Compares every attachment with its hash; returns how many there are.
fn check_attachments(data: &DataDir, findings: &mut Vec<Finding>) -> u64 {
    if data.attachments_db().exists() {
        check_database("attachments.db", &data.attachments_db(), findings);
    }
    let blobs = FileBlobs::new(data.attachments());
    let held = match blobs.list() {
        Ok(held) => held,
        Err(error) => {
            findings.push(Finding::AttachmentUnread(error));
            return 0;
        }
    };
    let mut checked = 0;
    for (blob, _) in held {
        match content_of(&blobs.path(blob)) {
            Ok(content) if content.hash.as_bytes() == blob.hash.as_bytes() => {}
            Ok(_) => findings.push(Finding::Attachment(blob.space, blob.hash)),
            // Erased meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => findings.push(Finding::AttachmentUnread(error.into())),
        }
        checked += 1;
    }
    checked
}

fn check_keys(data: &DataDir, findings: &mut Vec<Finding>) {
    let organisations = fs::read_dir(data.organisations()).into_iter().flatten().flatten();
    let keys = organisations.map(|entry| entry.path()).chain([data.relay_key()]);
    for path in keys.filter(|path| path.extension().is_some_and(|ending| ending == "key")) {
        if let Err(error) = keys::load(&path) {
            findings.push(Finding::Key(error));
        }
    }
}

/// SQLite's own checks. Returns whether it found nothing.
fn check_database(file: &'static str, path: &Path, findings: &mut Vec<Finding>) -> bool {
    if !path.exists() {
        findings.push(Finding::Missing(file));
        return false;
    }
    let before = findings.len();
    if let Err(cause) = integrity(file, path, findings) {
        findings.push(Finding::Unreadable { file, cause });
    }
    findings.len() == before
}

fn integrity(file: &'static str, path: &Path, findings: &mut Vec<Finding>) -> rusqlite::Result<()> {
    let connection = open_to_read(path)?;
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let message: String = row.get(0)?;
        if message != "ok" {
            findings.push(Finding::Integrity { file, message });
        }
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        findings.push(Finding::Reference { file, table: row.get(0)? });
    }
    Ok(())
}

/// Returns how much was read, if nothing was wrong with it.
fn check_log(data: &DataDir, findings: &mut Vec<Finding>) -> Option<Audited> {
    let is_sound = check_database("log.db", &data.log_db(), findings);
    if !data.log_db().exists() {
        return None;
    }
    // Of a damaged file too: which batches it took is what one wants to know.
    let mut faults = Vec::new();
    let audited = open_to_read(&data.log_db()).and_then(|connection| audit(&connection, &mut faults));
    let has_faults = !faults.is_empty();
    findings.extend(faults.into_iter().map(Finding::Log));
    if let Ok((_, Some(number))) = LogReader::open(&data.log_db()).and_then(|log| log.trail()) {
        findings.push(Finding::Trail(number));
    }
    match audited {
        Ok(audited) => (is_sound && !has_faults).then_some(audited),
        Err(cause) => {
            findings.push(Finding::Unreadable { file: "log.db", cause });
            None
        }
    }
}

/// A folder that is removed with this.
struct Room(PathBuf);

impl Room {
    fn make(data: &DataDir) -> Result<Self, CheckError> {
        let path = data.root().join(format!("check-{}", to_hex(&crate::secret::random::<4>())));
        DataDir::create_private_dir(&path)
            .map_err(|source| CheckError::Room { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn compare_views(data: &DataDir, findings: &mut Vec<Finding>) -> Result<Views, CheckError> {
    let room = Room::make(data)?;
    let copy = room.0.join("views.db");
    match copy_database(&data.views_db(), &copy) {
        Ok(connection) => drop(connection),
        Err(CopyError::File(source)) => return Err(CheckError::Room { path: copy, source }),
        Err(CopyError::Database(cause)) => {
            findings.push(Finding::Unreadable { file: "views.db", cause });
            return Ok(Views::NotCompared);
        }
    }
    let views = match Store::open_read_only(StoreConfig::replica(&copy)) {
        Ok(views) => views,
        Err(error) => {
            findings.push(Finding::ViewsUnopened(error));
            return Ok(Views::NotCompared);
        }
    };
    let replay = Store::open(StoreConfig::replica(room.0.join("replay.db")))?;
    let log = LogReader::open(&data.log_db())?;
    let aside = Aside::list(&data.aside_db())?;
    let mut merged = 0;
    for position in views.positions()? {
        let (space, Some(cursor)) = (position.space, position.cursor) else { continue };
        if cursor.log != log.id() || log.digest_at(space, cursor.offset)? != Some(cursor.digest) {
            findings.push(Finding::ViewsOfAnotherLog(space));
            continue;
        }
        let skipped = |offset: u64| aside.contains(&(space, offset));
        match take_in(&log, &replay, cursor, space, skipped) {
            Err(CheckError::Ingest(IngestError::Stopped { stopped, .. })) => {
                findings.push(Finding::Stopped { space, offset: stopped.offset });
            }
            Err(error) => return Err(error),
            Ok(()) if views.digest(space)? != replay.digest(space)? => {
                findings.push(Finding::ViewsDiffer(space));
            }
            Ok(()) => {
                let witnessed = views.ask_automerge(space)?;
                merged += witnessed.records;
                let differing = witnessed.differing.into_iter();
                findings.extend(differing.map(|(kind, record)| Finding::MergeDiffers {
                    space,
                    kind,
                    record,
                }));
            }
        }
    }
    Ok(Views::Compared { merged })
}

/// Takes the log of a space in up to a cursor, but for what the relay skips on purpose.
fn take_in(
    log: &LogReader,
    replay: &Store,
    to: Cursor,
    space: SpaceId,
    is_skipped: impl Fn(u64) -> bool,
) -> Result<(), CheckError> {
    replay.join_space(space)?;
    let mut after = 0;
    while after < to.offset {
        let page = log.read_after(space, after, STEP_LEN_MAX, None)?;
        let Some((reached, _)) = page.reached else { break };
        let batches: Vec<_> = page
            .batches
            .into_iter()
            .map(|logged| (logged.offset, logged.batch))
            .filter(|(offset, _)| *offset <= to.offset && !is_skipped(*offset))
            .collect();
        replay.ingest(space, &batches, None)?;
        after = reached;
    }
    Ok(())
}
