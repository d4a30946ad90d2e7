//! What an app can do about a failure: one variant for each thing it can do.

use std::error::Error;

use barid_core::client::EnrolError;
use barid_core::device::SyncStartError;
use barid_core::store::{KeyError, OpenError, RecoverError, StoreError, WriteError};

use crate::exchange::ExchangeReport;
use crate::wipe::Unsent;

/// A call failed; nothing that was recorded before is lost.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum BaridError {
    /// Another process has the database open: close it there.
    #[error("the database is already open elsewhere")]
    InUse,
    /// The database was written by a newer version: update the app.
    #[error("the database is of a newer version of Barid")]
    UpdateNeeded,
    /// The database was damaged and kept under another name: call `recover` with it.
    #[error("the database was damaged; it is kept as {kept_as}")]
    Damaged {
        /// The file's new name.
        kept_as: String,
    },
    /// The database's key is missing, is another file's, or cannot be used by this build: fetch the right
    /// one. The file is whole and must not be deleted.
    #[error("the database does not open with this key: {why}")]
    KeyRefused {
        /// The reason.
        why: String,
    },
    /// The disk is full: free some space and try again.
    #[error("there is no space left on the disk")]
    NoSpace,
    /// An argument cannot be used as it is: correct the call.
    #[error("an argument is invalid: {what}")]
    Invalid {
        /// What is wrong with it; never its content.
        what: String,
    },
    /// There is no such record here.
    #[error("there is no such record")]
    NotFound,
    /// The device must be enrolled first.
    #[error("the device is not enrolled")]
    NotEnrolled,
    /// The enrolment code is no code, too old, or used: ask for another.
    #[error("the enrolment code was not accepted: {why}")]
    CodeRejected {
        /// The reason.
        why: String,
    },
    /// The relay cannot be reached now: try again with a network.
    #[error("the relay cannot be reached: {why}")]
    Unreachable {
        /// The reason.
        why: String,
    },
    /// The store is locked and shows nothing: ask to unlock it. Recording goes on.
    #[error("the store is locked: it records, and shows nothing")]
    Locked,
    /// There is work that nobody else is known to hold, so nothing was wiped: sync, or say so.
    #[error("there is work that nobody else is known to hold")]
    UnsentWork {
        /// How much.
        unsent: Unsent,
    },
    /// The pairing code is no code, too old, or used: show a new one.
    #[error("the pairing code was not accepted: {why}")]
    PairingRejected {
        /// The reason.
        why: String,
    },
    /// The connection to the other device broke; what came before is kept. Connect and exchange again.
    #[error("the connection to the other device was lost: {why}")]
    ConnectionLost {
        /// The reason.
        why: String,
        /// What was given and taken until then.
        report: ExchangeReport,
    },
    /// The file is no bundle, for somebody else, or of a newer version: choose another.
    #[error("the bundle was not accepted: {why}")]
    BundleRejected {
        /// The reason.
        why: String,
    },
    /// There is a file of this name already, and it was not changed: choose another name.
    #[error("there is a file of this name already; it was not changed")]
    FileExists,
    /// A file cannot be read or written: look at the card or the stick, and try again.
    #[error("a file failed: {why}")]
    FileFailed {
        /// The reason.
        why: String,
    },
    /// The bytes are no picture of a type that can be stripped: save it as JPEG, PNG or WebP.
    #[error("the picture cannot be taken: {why}")]
    UnsupportedPicture {
        /// The reason.
        why: String,
    },
    /// An attachment is larger than one may be: make it smaller.
    #[error("the attachment is too large: {why}")]
    TooLarge {
        /// The reason.
        why: String,
    },
    /// The app cancelled it.
    #[error("it was cancelled")]
    Cancelled,
    /// The store was closed or wiped: open it again.
    #[error("the store is closed")]
    Closed,
    /// The database failed in a way that only its developers can look into: report it.
    #[error("the database failed: {why}")]
    Storage {
        /// The reason.
        why: String,
    },
}

impl BaridError {
    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }
}

/// The whole chain of causes in one line.
pub(crate) fn why(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl From<StoreError> for BaridError {
    fn from(error: StoreError) -> Self {
        if error.is_full() { Self::NoSpace } else { Self::Storage { why: why(&error) } }
    }
}

impl From<OpenError> for BaridError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::InUse => Self::InUse,
            OpenError::TooNew { .. } => Self::UpdateNeeded,
            OpenError::NotAStore => Self::invalid("the path is another program's database"),
            OpenError::OtherDevice { .. } => Self::invalid("the database belongs to another device's seed"),
            OpenError::Key(error) => error.into(),
            OpenError::Damaged { kept_as } => Self::Damaged { kept_as: kept_as.display().to_string() },
            error => Self::Storage { why: why(&error) },
        }
    }
}

impl From<KeyError> for BaridError {
    fn from(error: KeyError) -> Self {
        Self::KeyRefused { why: error.to_string() }
    }
}

impl From<WriteError> for BaridError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::NotFound(_) => Self::NotFound,
            WriteError::Store(error) => error.into(),
            error => Self::Invalid { what: why(&error) },
        }
    }
}

impl From<EnrolError> for BaridError {
    fn from(error: EnrolError) -> Self {
        match error {
            EnrolError::Link(error) => Self::Unreachable { why: why(&error) },
            EnrolError::Rejected(reason) => Self::CodeRejected { why: why(&reason) },
            EnrolError::Store(error) => error.into(),
            error @ EnrolError::System(_) => Self::Storage { why: why(&error) },
        }
    }
}

impl From<SyncStartError> for BaridError {
    fn from(error: SyncStartError) -> Self {
        match error {
            SyncStartError::NotEnrolled => Self::NotEnrolled,
            SyncStartError::Store(error) => error.into(),
            error @ SyncStartError::Thread(_) => Self::Storage { why: why(&error) },
        }
    }
}

impl From<RecoverError> for BaridError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Open(error) => error.into(),
            RecoverError::Key(error) => error.into(),
            RecoverError::Store(error) => error.into(),
            RecoverError::Write(error) => error.into(),
            error @ (RecoverError::IntoItself | RecoverError::OtherDevice(_) | RecoverError::NoIdentity) => {
                Self::Invalid { what: why(&error) }
            }
            error => Self::Storage { why: why(&error) },
        }
    }
}
