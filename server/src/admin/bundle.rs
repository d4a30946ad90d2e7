//! Bundles of the relay: its log in a file for a phone or for another relay, and back.
//!
//! Both work beside a running relay, as `barid enrol` does: reading takes one snapshot at a time, and
//! what is appended here the relay finds in its log.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use barid_core::bundle::{BundleError, BundleReader, BundleWriteError, FileError, Manifest, write_file};
use barid_core::clock::system_clock;
use barid_core::control::DeviceStatement;
use barid_core::id::{DeviceId, SpaceId};
use barid_core::model::{Fields, Value};

use super::AdminError;
use super::signers::{Signers, operator};
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::log::bundle::{self as log_bundle, GiveError, Imported};
use crate::log::quarantine::QuarantineLimits;
use crate::log::reader::LogReader;
use crate::log::trail::Decision;
use crate::log::writer::LogWriter;
use crate::log::{LogError, LogState};
use crate::secret::random;

/// A bundle is not made, or not taken in.
#[derive(Debug, thiserror::Error)]
pub enum BundleCommandError {
    /// The relay's own files.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// No device has this label or id, and it is no key.
    #[error("no device is called `{0}`; give its label, its id or the beginning of it, or a key")]
    UnknownDevice(String),
    /// Several devices have this label.
    #[error("several devices are called `{0}`: give the id")]
    AmbiguousDevice(String),
    /// A key of which nothing is known gets what it is told to get, and nothing by itself.
    #[error("{0} is no device of this relay: say which spaces it may have with --space")]
    Unnamed(DeviceId),
    /// There is no such space.
    #[error("there is no space {0}")]
    UnknownSpace(SpaceId),
    /// A device that is a member of other spaces only.
    #[error("the device is no member of the space {0}")]
    NotMember(SpaceId),
    /// The file is there already, or the disk failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] BundleWriteError),
    /// It cannot be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl From<LogError> for BundleCommandError {
    fn from(error: LogError) -> Self {
        Self::Admin(error.into())
    }
}

impl From<GiveError> for BundleCommandError {
    fn from(error: GiveError) -> Self {
        match error {
            GiveError::Log(error) => error.into(),
            GiveError::Write(error) => error.into(),
        }
    }
}

/// What went into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// Whom it is for.
    pub recipient: DeviceId,
    /// What the recipient is called here, if it is a device of this relay.
    pub label: Option<String>,
    /// The spaces, each with whether the recipient gets more than its control batches.
    pub spaces: Vec<(SpaceId, bool)>,
    /// Batches.
    pub batches: u64,
    /// Their bytes.
    pub len: u64,
    /// Batches that this relay's disk has spoiled, and so cannot give.
    pub damaged: u64,
}

/// Writes everything that a recipient may have into a new file. `to` is a device's label or id, or a
/// key that this relay knows nothing of, such as another relay's, which gets the spaces named.
pub fn export(
    data: &DataDir,
    to: &str,
    spaces: &[SpaceId],
    path: &Path,
) -> Result<Exported, BundleCommandError> {
    initialised(data)?;
    let mut writer = LogWriter::open(&data.log_db(), system_clock())?;
    let state = writer.state();
    let (recipient, label) = find(&state, to)?;
    let spaces = permitted(&state, recipient, spaces)?;
    let log = LogReader::open(&data.log_db())?;
    let (manifest, damaged) = log_bundle::manifest(&log, &spaces, (system_clock())())?;
    // Noted before the file is there: nothing leaves without a trace, though a disk that fails may
    // leave a trace of what never left.
    writer.transact(|append| append.note(&exporting(recipient, &spaces, &manifest)))?;
    drop(writer);
    write_file(path, |file| {
        log_bundle::give(&log, &spaces, recipient, &manifest, random(), file)?;
        Ok::<_, BundleCommandError>(())
    })?;
    let (batches, len) = (manifest.count() as u64, manifest.batches_len);
    Ok(Exported { recipient, label, spaces, batches, len, damaged })
}

fn exporting(recipient: DeviceId, spaces: &[(SpaceId, bool)], manifest: &Manifest) -> Decision {
    let spaces = spaces.iter().map(|(space, _)| Value::Bytes(space.as_bytes().to_vec()));
    Decision {
        action: "export",
        by: operator(),
        details: Fields::from([
            ("batches".to_owned(), Value::Int(manifest.count() as i64)),
            ("recipient".to_owned(), Value::Bytes(recipient.as_bytes().to_vec())),
            ("spaces".to_owned(), Value::List(spaces.collect())),
        ]),
    }
}

fn importing(imported: &Imported) -> Decision {
    let number = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
    Decision {
        action: "import",
        by: operator(),
        details: Fields::from([
            ("batches".to_owned(), number(imported.batches_total)),
            ("held".to_owned(), number(imported.held)),
            ("new".to_owned(), number(imported.appended)),
        ]),
    }
}

/// Opens a bundle for the relay, or for one of the organisations whose keys are here: a phone that is to
/// be wiped seals what is left on it to its organisation.
fn open(data: &DataDir, path: &Path) -> Result<BundleReader<BufReader<File>>, BundleCommandError> {
    for key in Signers::load(data)?.own_first() {
        let file = File::open(path).map_err(|source| BundleError::Read { offset: 0, source })?;
        match BundleReader::open(BufReader::new(file), key) {
            Err(BundleError::ForAnother) => {}
            opened => return Ok(opened?),
        }
    }
    Err(BundleError::ForAnother.into())
}

fn initialised(data: &DataDir) -> Result<(), AdminError> {
    if data.is_initialised() {
        Ok(())
    } else {
        Err(AdminError::NotInitialised(data.root().display().to_string()))
    }
}

/// The key that is meant, and its label.
fn find(state: &LogState, to: &str) -> Result<(DeviceId, Option<String>), BundleCommandError> {
    let wanted = to.trim().to_lowercase();
    let is_prefix = wanted.len() >= 8;
    let mut found: Vec<&DeviceStatement> = state
        .spaces
        .values()
        .flat_map(|space| space.membership.devices())
        .filter(|device| {
            device.label.to_lowercase() == wanted
                || (is_prefix && device.device.to_string().starts_with(&wanted))
        })
        .collect();
    found.sort_by_key(|device| device.device);
    found.dedup_by_key(|device| device.device);
    match (&found[..], wanted.parse()) {
        ([one], _) => Ok((one.device, Some(one.label.clone()))),
        ([], Ok(key)) => Ok((key, None)),
        ([], Err(_)) => Err(BundleCommandError::UnknownDevice(to.to_owned())),
        _ => Err(BundleCommandError::AmbiguousDevice(to.to_owned())),
    }
}

/// The spaces that a recipient gets, and whether all of each. A key that no space knows gets what is named.
fn permitted(
    state: &LogState,
    recipient: DeviceId,
    named: &[SpaceId],
) -> Result<Vec<(SpaceId, bool)>, BundleCommandError> {
    if let Some(unknown) = named.iter().find(|space| !state.spaces.contains_key(space)) {
        return Err(BundleCommandError::UnknownSpace(*unknown));
    }
    let known = log_bundle::due(state, recipient);
    if known.is_empty() {
        let all = named.iter().map(|space| (*space, true)).collect::<Vec<_>>();
        return if all.is_empty() { Err(BundleCommandError::Unnamed(recipient)) } else { Ok(all) };
    }
    if let Some(other) = named.iter().find(|named| known.iter().all(|(space, _)| space != *named)) {
        return Err(BundleCommandError::NotMember(*other));
    }
    let is_chosen = |space: &SpaceId| named.is_empty() || named.contains(space);
    Ok(known.into_iter().filter(|(space, _)| is_chosen(space)).collect())
}

/// Verifies and appends what a bundle for this relay holds, as far as it is whole.
pub fn import(config: &Config, path: &Path) -> Result<Imported, BundleCommandError> {
    let data = &DataDir::new(&config.data);
    initialised(data)?;
    let reader = open(data, path)?;
    let limits = QuarantineLimits {
        batches_max: config.quarantine_batches_max,
        len_max: config.quarantine_mebibytes_max.saturating_mul(1024 * 1024),
    };
    let mut log = LogWriter::open(&data.log_db(), system_clock())?.with_quarantine_limits(limits);
    let imported = log_bundle::take(&mut log, reader)?;
    log.transact(|append| append.note(&importing(&imported)))?;
    Ok(imported)
}
