//! The end of a device's files. Nothing that nobody else is known to hold goes unasked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{BundleExportError, BundleRecipient, Device};
use crate::bundle::{BundleScope, ExportReport};
use crate::exchange::Cancel;
use crate::store::{StoreError, damaged_beside, is_brought_back};

/// What a wipe does about work that nobody else is known to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WipeMode {
    /// Refuses, and deletes nothing.
    RefuseIfUnsent,
    /// Writes it into a new bundle first: for the relay, or for the organisation if whoever revoked this
    /// device asks for the wipe. Refuses if there is unsent work that no bundle holds.
    ExportFirst(PathBuf),
    /// Deletes it.
    Force,
}

/// What nobody but this device is known to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unsent {
    /// Records with changes of this device.
    pub records: u64,
    /// Such changes, and track chunks.
    pub changes: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Attachments.
    pub attachments: u64,
    /// Bytes of them that the relay has not acknowledged.
    pub attachment_bytes: u64,
    /// Batches of others that this device carries to a relay.
    pub carried: u64,
    /// Damaged databases beside this one that were not brought back.
    pub damaged_files: u64,
}

impl Unsent {
    /// Whether there is nothing.
    pub fn is_nothing(&self) -> bool {
        let Self { records, changes, bytes: _, attachments, attachment_bytes, carried, damaged_files } = self;
        let counts = [records, changes, attachments, attachment_bytes, carried, damaged_files];
        counts.into_iter().all(|count| *count == 0)
    }

    /// Whether a bundle can hold all of it.
    fn fits_a_bundle(&self) -> bool {
        self.attachments == 0 && self.attachment_bytes == 0 && self.damaged_files == 0
    }
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WipeReport {
    /// What of it nobody else was known to hold.
    pub unsent: Unsent,
    /// What went into the bundle, if one was asked for.
    pub exported: Option<ExportReport>,
}

/// A device was not wiped, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum WipeError {
    /// There is work that nobody else is known to hold. Nothing was deleted.
    #[error("wiping: there is work that nobody else is known to hold")]
    Unsent(Unsent),
    /// The store could not be read. Nothing was deleted.
    #[error("wiping: the device's database failed")]
    Store(#[from] StoreError),
    /// The bundle was not made. Nothing was deleted.
    #[error("wiping: what is unsent was not put into a bundle")]
    Export(#[from] BundleExportError),
    /// A file could not be deleted; wiping again goes on.
    #[error("wiping: a file could not be deleted")]
    Delete(#[source] io::Error),
}

/// What a wipe that failed leaves.
#[derive(Debug)]
pub struct WipeFailed {
    /// The device as it was, unless deleting had begun.
    pub device: Option<Device>,
    /// Why.
    pub error: WipeError,
}

impl Device {
    /// Whether this device was revoked in any of its spaces, and whoever did asks it to be wiped.
    pub fn is_wipe_asked(&self) -> Result<bool, StoreError> {
        for space in self.store.spaces()? {
            if self.store.membership(space)?.is_wipe_asked(self.id()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What nobody but this device is known to hold. Costs as much as is held.
    pub fn unsent(&self) -> Result<Unsent, StoreError> {
        let counts = self.store.counts()?;
        let attachments = self.store.unsent_attachments()?;
        let mut damaged_files = 0;
        for damaged in self.store.path().map(|path| damaged_beside(path)).unwrap_or_default() {
            damaged_files += u64::from(!is_brought_back(&self.store, &damaged)?);
        }
        Ok(Unsent {
            records: counts.unsent_records,
            changes: counts.unsent_changes,
            bytes: counts.unsent_bytes,
            attachments: attachments.attachments,
            attachment_bytes: attachments.len,
            carried: counts.carried,
            damaged_files,
        })
    }

    /// Deletes the database and everything beside it. Nobody else may hold this store: what another
    /// handle wrote meanwhile would be gone with it.
    pub fn wipe(self, mode: &WipeMode, cancel: &Cancel) -> Result<WipeReport, Box<WipeFailed>> {
        let report = match self.before_wipe(mode, cancel) {
            Ok(report) => report,
            Err(error) => return Err(Box::new(WipeFailed { device: Some(self), error })),
        };
        let path = self.store.path().cloned();
        drop(self);
        match path.map_or(Ok(()), |path| delete_all(&path)) {
            Ok(()) => Ok(report),
            Err(error) => Err(Box::new(WipeFailed { device: None, error: WipeError::Delete(error) })),
        }
    }

    fn before_wipe(&self, mode: &WipeMode, cancel: &Cancel) -> Result<WipeReport, WipeError> {
        let unsent = self.unsent()?;
        let exported = match mode {
            WipeMode::Force => None,
            WipeMode::RefuseIfUnsent if unsent.is_nothing() => None,
            WipeMode::RefuseIfUnsent => return Err(WipeError::Unsent(unsent)),
            WipeMode::ExportFirst(_) if !unsent.fits_a_bundle() => return Err(WipeError::Unsent(unsent)),
            WipeMode::ExportFirst(path) => {
                let recipient = match self.is_wipe_asked()? {
                    true => BundleRecipient::Organisation,
                    false => BundleRecipient::Relay,
                };
                let scope = BundleScope::NotAtRelay;
                let report = self.export_bundle(path, recipient, &[], &scope, cancel, |_, _| {})?;
                if report.is_partial {
                    return Err(WipeError::Unsent(unsent));
                }
                Some(report)
            }
        };
        Ok(WipeReport { unsent, exported })
    }
}

/// Deletes the database last but for its lock, so that a wipe that was cut off is begun again and not
/// taken for damage.
fn delete_all(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let mut beside = Vec::new();
    for entry in fs::read_dir(folder)? {
        let found = entry?.file_name();
        let ending = found.as_encoded_bytes().strip_prefix(name).and_then(|end| str::from_utf8(end).ok());
        if ending.is_some_and(is_ours) {
            beside.push(folder.join(found));
        }
    }
    for file in beside {
        delete(&file)?;
    }
    delete(path)?;
    let mut lock = path.as_os_str().to_owned();
    lock.push(".lock");
    delete(Path::new(&lock))?;
    // Not every file system knows such a thing.
    fs::File::open(folder).and_then(|folder| folder.sync_all()).ok();
    Ok(())
}

/// Whether the store keeps a file of this ending beside its database.
fn is_ours(ending: &str) -> bool {
    matches!(ending, "-wal" | "-shm" | "-journal")
        || [".token", ".damaged-", "-attachments"].iter().any(|beginning| ending.starts_with(beginning))
}

fn delete(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
