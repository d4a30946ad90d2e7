//! The end of a store's files.

use std::path::PathBuf;
use std::sync::Arc;

use barid_core::device::{self, WipeError};

use crate::bundle::ExportReport;
use crate::error::{BaridError, why};
use crate::exchange::Cancel;
use crate::store::FieldStore;

/// What a wipe does about work that nobody else is known to hold.
#[derive(Debug, Clone, uniffi::Enum)]
pub enum WipeMode {
    /// Refuses, and deletes nothing.
    RefuseIfUnsent,
    /// Writes it into a new bundle first: for the relay, or for the organisation if whoever revoked this
    /// device asks for the wipe. Refuses if there is unsent work that no bundle holds.
    ExportFirst {
        /// The bundle's file.
        bundle: String,
    },
    /// Deletes it.
    Force,
}

/// What nobody but this device is known to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, uniffi::Record)]
pub struct Unsent {
    /// Records with changes.
    pub records: u64,
    /// Changes of records, and pieces of tracks.
    pub changes: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// Attachments.
    pub attachments: u64,
    /// Bytes of attachments.
    pub attachment_bytes: u64,
    /// Batches of others that this device carries to a relay.
    pub carried: u64,
    /// Damaged databases that lie beside this one and were not brought back.
    pub damaged_files: u64,
}

/// What a wipe deleted.
#[derive(Debug, Clone, uniffi::Record)]
pub struct WipeReport {
    /// What of it nobody else was known to hold.
    pub unsent: Unsent,
    /// What went into the bundle, if one was asked for.
    pub exported: Option<ExportReport>,
}

#[uniffi::export]
impl FieldStore {
    /// What nobody but this device is known to hold.
    pub fn unsent(&self) -> Result<Unsent, BaridError> {
        Ok(self.opened().device()?.unsent()?.into())
    }

    /// Deletes the database and everything beside it, after every other call has ended. The store is
    /// closed then; if this fails before anything was deleted, it goes on as it was.
    pub fn wipe(&self, mode: WipeMode, cancel: Arc<Cancel>) -> Result<WipeReport, BaridError> {
        if matches!(mode, WipeMode::RefuseIfUnsent) {
            // Said before anything is stopped for it.
            let unsent = self.opened().device()?.unsent()?;
            if !unsent.is_nothing() {
                return Err(BaridError::UnsentWork { unsent: unsent.into() });
            }
        }
        let was_running = self.sync_object().halt();
        let wiped = self.opened().take().and_then(|device| match device.wipe(&mode.into(), cancel.core()) {
            Ok(report) => {
                self.opened().close();
                Ok(report.into())
            }
            Err(failed) => {
                match failed.device {
                    Some(device) => self.opened().put_back(device),
                    None => self.opened().close(),
                }
                Err(failed.error.into())
            }
        });
        if was_running && wiped.is_err() {
            // It is closed if deleting had begun.
            self.sync_object().start().ok();
        }
        wiped
    }
}

impl From<WipeMode> for device::WipeMode {
    fn from(mode: WipeMode) -> Self {
        match mode {
            WipeMode::RefuseIfUnsent => Self::RefuseIfUnsent,
            WipeMode::ExportFirst { bundle } => Self::ExportFirst(PathBuf::from(bundle)),
            WipeMode::Force => Self::Force,
        }
    }
}

impl From<device::Unsent> for Unsent {
    fn from(unsent: device::Unsent) -> Self {
        let device::Unsent { records, changes, bytes, attachments, attachment_bytes, carried, damaged_files } =
            unsent;
        Self { records, changes, bytes, attachments, attachment_bytes, carried, damaged_files }
    }
}

impl From<device::WipeReport> for WipeReport {
    fn from(report: device::WipeReport) -> Self {
        Self { unsent: report.unsent.into(), exported: report.exported.map(ExportReport::from) }
    }
}

impl From<WipeError> for BaridError {
    fn from(error: WipeError) -> Self {
        match error {
            WipeError::Unsent(unsent) => Self::UnsentWork { unsent: unsent.into() },
            WipeError::Store(error) => error.into(),
            WipeError::Export(error) => error.into(),
            error @ WipeError::Delete(_) => Self::FileFailed { why: why(&error) },
        }
    }
}
