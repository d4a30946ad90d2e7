//! `barid restore`: a relay from a backup, in an empty data directory.
//!
//! The restored log is a new one: it takes a new id, so that every device compares what it holds with
//! what is here and gives back what was lost; and the chains of control batches begin anew, because a
//! batch number that was used after the backup must never be used again for something else. Views are
//! not restored; they are rebuilt.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barid_core::clock::system_clock;
use barid_core::id::LogId;

use super::copy::{copy_file, open_to_read};
use super::init::put_in_place;
use super::manifest::{Manifest, ManifestError, heads};
use crate::data_dir::{DataDir, sync_dir};
use crate::log::LogError;
use crate::log::writer::LogWriter;
use crate::relay_db::{OpenRelayDbError, RelayDb};

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the backup said of itself.
    pub manifest: Manifest,
    /// The new log's id.
    pub log: LogId,
}

/// Nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A relay is never written over anything.
    #[error("{0} is not empty; nothing was changed. Restore into a new folder")]
    NotEmpty(PathBuf),
    /// The backup.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The log is not the one that the manifest describes.
    #[error("the backup contradicts itself: its log is not the one of its manifest")]
    OtherLog,
    /// A folder or a file cannot be read or written.
    #[error("writing {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The restored log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The restored `relay.db`.
    #[error(transparent)]
    RelayDb(#[from] OpenRelayDbError),
    /// Either database.
    #[error("preparing a restored database")]
    Database(#[from] rusqlite::Error),
}

/// Verifies a backup and makes a relay of it in a directory that is empty or not there.
pub fn restore(folder: &Path, root: &Path) -> Result<Restored, RestoreError> {
    let was_there = is_there_and_empty(root)?;
    let manifest = Manifest::read(folder)?;
    manifest.verify(folder)?;
    let at_root = |source| RestoreError::File { path: root.to_owned(), source };
    DataDir::create_private_dir(root).map_err(at_root)?;
    let data = DataDir::new(root);
    // Within the directory, which may be a mount point that nothing can be renamed to.
    let unfinished = DataDir::new(root.join("unfinished"));
    let restored = make(folder, &manifest, &unfinished).and_then(|log| {
        put_in_place(&unfinished, &data).map_err(at_root)?;
        Ok(Restored { manifest, log })
    });
    let _ = fs::remove_dir_all(unfinished.root());
    if restored.is_err() && !was_there {
        let _ = fs::remove_dir(root);
    }
    restored
}

fn is_there_and_empty(root: &Path) -> Result<bool, RestoreError> {
    let at_root = |source| RestoreError::File { path: root.to_owned(), source };
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries.map_err(at_root)?,
    };
    for entry in entries {
        let entry = entry.map_err(at_root)?;
        // Of a restoring that was interrupted: it served nobody.
        if entry.file_name() != "unfinished" {
            return Err(RestoreError::NotEmpty(root.to_owned()));
        }
        fs::remove_dir_all(entry.path()).map_err(at_root)?;
    }
    Ok(true)
}

fn make(folder: &Path, manifest: &Manifest, data: &DataDir) -> Result<LogId, RestoreError> {
    let at = |path: &Path, result: io::Result<()>| {
        result.map_err(|source| RestoreError::File { path: path.to_owned(), source })
    };
    at(data.root(), DataDir::create_private_dir(data.root()))?;
    let mut directories = BTreeSet::from([data.root().to_owned()]);
    for file in &manifest.files {
        let relative = file.relative()?;
        let target = data.root().join(relative);
        for directory in relative.ancestors().skip(1).map(|ancestor| data.root().join(ancestor)) {
            if !directories.contains(&directory) {
                at(&directory, DataDir::create_private_dir(&directory))?;
                directories.insert(directory);
            }
        }
        let content = copy_file(&folder.join(relative), &target)
            .map_err(|source| RestoreError::File { path: target, source })?;
        // Verified before; a disk may still say something else the second time.
        if !file.is(content) {
            return Err(ManifestError::Differs(file.path.clone()).into());
        }
    }
    if heads(&open_to_read(&data.log_db())?)? != manifest.spaces {
        return Err(RestoreError::OtherLog);
    }
    let log = LogWriter::renew(&data.log_db(), system_clock())?.id();
    RelayDb::open(&data.relay_db())?.forget_visitors()?;
    for directory in &directories {
        at(directory, sync_dir(directory))?;
    }
    Ok(log)
}
