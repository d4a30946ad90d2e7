//! What the administrator's commands do: plain functions, which print nothing, so that the demo and
//! the tests use them as the command line does.

pub mod backup;
pub mod bundle;
pub mod check;
mod copy;
pub mod device;
pub mod enrol;
pub mod erase;
pub mod init;
pub mod manifest;
pub mod organisation;
pub mod quarantine;
pub mod restore;
mod signers;

use std::io;

use barid_core::control::StatementError;
use barid_core::enrolment::EnrolmentError;
use barid_core::id::SpaceId;

use crate::accounts::AccountError;
use crate::attachments::ForgetError;
use crate::data_dir::DataDir;
use crate::enrolment::EnrolError;
use crate::keys::KeyError;
use crate::log::LogError;
use crate::log::reader::LogReader;
use crate::log::trail::TrailEntry;
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
    /// No device is called so.
    #[error("there is no device `{0}`: see `barid device list` for labels and ids")]
    UnknownDevice(String),
    /// Several devices are meant.
    #[error("`{0}` may mean several devices: give the id, or more of its beginning")]
    AmbiguousDevice(String),
    /// No space has this name or id.
    #[error(
        "there is no space `{0}` on this relay: give its name in either language or its id; there are: {1}"
    )]
    UnknownSpace(String, String),
    /// Several spaces have this name.
    #[error("several spaces are called `{0}`: give the id")]
    AmbiguousSpace(String),
    /// Whose statement it would have to be is not here.
    #[error(
        "the key that may decide this in the space {0} is not in this data directory: \
         lay the organisation's key file into `organisations`, or decide it at the relay that has it"
    )]
    NoSigner(SpaceId),
    /// Its statements are never taken back.
    #[error("`{0}` is the key of an administrator or an organisation: it cannot be revoked")]
    NotRevocable(String),
    /// There is nothing to decide on.
    #[error("nothing of `{0}` that could be {1} is in quarantine: see `barid quarantine list`")]
    NothingQuarantined(String, &'static str),
    /// The joint space is missing from the log.
    #[error("the log has no joint space")]
    NoJointSpace,
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The photos of an erased record: erase it again.
    #[error("the record is erased, and its photos are not yet")]
    Forget(#[from] ForgetError),
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

/// The audit trail, and the place of its first entry that is not as it was written, if any.
pub fn trail(data: &DataDir) -> Result<(Vec<TrailEntry>, Option<u64>), AdminError> {
    if !data.is_initialised() {
        return Err(AdminError::NotInitialised(data.root().display().to_string()));
    }
    Ok(LogReader::open(&data.log_db())?.trail()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
