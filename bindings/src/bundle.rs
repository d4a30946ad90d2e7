//! Records in a file, carried by hand.

use std::path::Path;
use std::sync::Arc;

use barid_core::bundle::{
    self, BundleError, BundleScope, BundleWriteError, ExportError, FileError, ImportError,
};
use barid_core::device::{BundleExportError, BundleRecipient};
use barid_core::id::DeviceId;

use crate::error::{BaridError, why};
use crate::exchange::Cancel;
use crate::opened::Opened;
use crate::records::parse;

/// Whom a bundle is for.
#[derive(Debug, Clone, uniffi::Enum)]
pub enum Recipient {
    /// The relay of the enrolment: it gets what it is not known to hold.
    Relay,
    /// Another device: it gets everything of the spaces that it is a member of.
    Device {
        /// Its id.
        id: String,
    },
}

/// Told how far a bundle has come.
#[uniffi::export(with_foreign)]
pub trait BundleObserver: Send + Sync {
    /// So much of so much: bytes of one that is made, batches of one that is taken in.
    fn progress(&self, done: u64, total: u64);
}

/// What went into a bundle.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ExportReport {
    /// Batches.
    pub batches: u64,
    /// Their bytes.
    pub len: u64,
    /// Whether there is more than one bundle holds.
    pub is_partial: bool,
}

/// What came out of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ImportReport {
    /// Batches that were not here.
    pub taken: u64,
    /// Batches that were.
    pub held: u64,
    /// Batches that are kept and do not stand, or not yet.
    pub waiting: u64,
    /// Batches that this device does not take.
    pub refused: u64,
    /// Batches that it should hold.
    pub total: u64,
    /// Of them, those that are not in the file.
    pub missing: u64,
    /// What is wrong with the file, if its end was not reached.
    pub damage: Option<String>,
}

/// Making bundles and taking them in.
#[derive(Debug, uniffi::Object)]
pub struct Bundles {
    opened: Arc<Opened>,
}

impl Bundles {
    pub(crate) fn new(opened: Arc<Opened>) -> Self {
        Self { opened }
    }
}

#[uniffi::export]
impl Bundles {
    /// Writes a bundle into a new file, which is there when it is whole.
    pub fn export_to(
        &self,
        path: String,
        recipient: Recipient,
        observer: Arc<dyn BundleObserver>,
        cancel: Arc<Cancel>,
    ) -> Result<ExportReport, BaridError> {
        let (recipient, scope) = match recipient {
            Recipient::Relay => (BundleRecipient::Relay, BundleScope::NotAtRelay),
            Recipient::Device { id } => {
                (BundleRecipient::Device(parse::<DeviceId>(&id)?), BundleScope::Everything)
            }
        };
        let device = self.opened.device()?;
        let _under_way = self.opened.note(cancel.core());
        let mut progress = Seldom::new(&*observer);
        let report = device.export_bundle(
            Path::new(&path),
            recipient,
            &[],
            &scope,
            cancel.core(),
            |done, total| {
                progress.tell(done, total);
            },
        )?;
        Ok(report.into())
    }

    /// Takes in everything of a bundle for this device that is whole.
    pub fn import_from(
        &self,
        path: String,
        observer: Arc<dyn BundleObserver>,
        cancel: Arc<Cancel>,
    ) -> Result<ImportReport, BaridError> {
        let device = self.opened.device()?;
        let _under_way = self.opened.note(cancel.core());
        let mut progress = Seldom::new(&*observer);
        let report = device.import_bundle(Path::new(&path), cancel.core(), |done, total| {
            progress.tell(done, total);
        })?;
        if report.is_cancelled { Err(BaridError::Cancelled) } else { Ok(report.into()) }
    }
}

/// Tells of each hundredth: a call across the boundary for every batch would take longer than the work.
struct Seldom<'a> {
    observer: &'a dyn BundleObserver,
    told: Option<u64>,
}

impl<'a> Seldom<'a> {
    fn new(observer: &'a dyn BundleObserver) -> Self {
        Self { observer, told: None }
    }

    fn tell(&mut self, done: u64, total: u64) {
        if done >= total || self.told.is_none_or(|told| done - told > total / 100) {
            self.told = Some(done);
            self.observer.progress(done, total);
        }
    }
}

impl From<bundle::ExportReport> for ExportReport {
    fn from(report: bundle::ExportReport) -> Self {
        Self { batches: report.batches, len: report.len, is_partial: report.is_partial }
    }
}

impl From<bundle::ImportReport> for ImportReport {
    fn from(report: bundle::ImportReport) -> Self {
        let tally = report.tally;
        Self {
            taken: tally.taken,
            held: tally.held,
            waiting: tally.waiting + tally.quarantined + tally.unread,
            refused: tally.refused + tally.missing + report.other_spaces,
            total: report.batches_total,
            missing: report.missing.iter().map(|run| run.batches.len() as u64).sum(),
            damage: report.damage.as_ref().map(|damage| why(damage)),
        }
    }
}

impl From<BundleExportError> for BaridError {
    fn from(error: BundleExportError) -> Self {
        let text = why(&error);
        match error {
            BundleExportError::NotEnrolled => Self::NotEnrolled,
            BundleExportError::Export(error) => match error {
                ExportError::Store(error) => error.into(),
                ExportError::File(FileError::Exists) => Self::FileExists,
                ExportError::File(FileError::Write(error))
                | ExportError::Write(BundleWriteError::Write(error)) => file_failed(&error, text),
                ExportError::Write(BundleWriteError::Recipient(_) | BundleWriteError::TooMany(_)) => {
                    Self::Invalid { what: text }
                }
                ExportError::Cancelled => Self::Cancelled,
                ExportError::Write(BundleWriteError::Encrypt) | ExportError::Randomness => {
                    Self::Storage { why: text }
                }
            },
        }
    }
}

impl From<ImportError> for BaridError {
    fn from(error: ImportError) -> Self {
        let text = why(&error);
        match error {
            ImportError::Bundle(BundleError::Read { source, .. }) => file_failed(&source, text),
            ImportError::Bundle(_) => Self::BundleRejected { why: text },
            ImportError::Store(error) => error.into(),
            ImportError::Ingest(_) => Self::Storage { why: text },
        }
    }
}

fn file_failed(error: &std::io::Error, why: String) -> BaridError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => BaridError::NoSpace,
        _ => BaridError::FileFailed { why },
    }
}
