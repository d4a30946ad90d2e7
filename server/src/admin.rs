//! What the administrator's commands do: plain functions, which print nothing, so that the demo and
//! the tests use them as the command line does.

pub mod backup;
pub mod check;
mod copy;
pub mod enrol;
pub mod init;
pub mod manifest;
pub mod organisation;
pub mod restore;

use std::io;

use barid_core::control::StatementError;
use barid_core::enrolment::EnrolmentError;

use crate::accounts::AccountError;
use crate::enrolment::EnrolError;
use crate::keys::KeyError;
use crate::log::LogError;
use crate::relay_db::OpenRelayDbError;
use crate::tls::TlsError;

/// A command failed.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is a relay here, and making another would destroy its keys.
    #[error("{0} holds a relay already; nothing was changed")]
    AlreadyInitialised(String),
    /// There is no relay here.
    #[error("there is no relay in {0}: make one with `barid init --data {0}`")]
    NotInitialised(String),
    /// The data directory cannot be written.
    #[error("writing the data directory")]
    Directory(#[source] io::Error),
    /// No organisation has this name or id.
    #[error("there is no organisation `{0}`: see `barid organisation list`")]
    UnknownOrganisation(String),
    /// Several organisations have this name.
    #[error("several organisations are called `{0}`: give the id")]
    AmbiguousOrganisation(String),
    /// The joint space is missing from the log.
    #[error("the log has no joint space")]
    NoJointSpace,
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An account.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The relay's own database.
    #[error(transparent)]
    RelayDb(#[from] OpenRelayDbError),
    /// A certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An enrolment token.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// Phones cannot be told where to go.
    #[error("phones cannot reach {0}: say how they do with --public-url, such as https://relay.example:7600")]
    NoAddress(String),
    /// The code cannot be written.
    #[error(transparent)]
    Code(#[from] EnrolmentError),
    /// A name is out of its bounds.
    #[error("writing a statement about the names given")]
    Statement(#[from] StatementError),
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
