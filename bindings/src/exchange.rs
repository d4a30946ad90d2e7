//! Exchanging with another device over whatever stream of bytes the app has.

use std::io::{self, Read, Write};
use std::sync::Arc;

use barid_core::exchange::{self, ExchangeError};
use barid_core::pairing::{self, PairingCode};
use barid_core::protocol::{CloseCode, CloseReason, PeerReport};

use crate::error::{BaridError, why};
use crate::opened::Opened;

/// A connection to another device.
#[uniffi::export(with_foreign)]
pub trait ByteStream: Send + Sync {
    /// Waits for bytes, up to so many; none at the end.
    fn read(&self, len_max: u32) -> Result<Vec<u8>, StreamError>;

    /// Writes bytes, whole.
    fn write(&self, bytes: Vec<u8>) -> Result<(), StreamError>;

    /// Ends the connection, and every `read` and `write` that waits.
    fn shut(&self);
}

/// A connection broke.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum StreamError {
    /// It cannot be read or written any more.
    #[error("the connection broke: {why}")]
    Broken {
        /// How.
        why: String,
    },
}

impl From<uniffi::UnexpectedUniFFICallbackError> for StreamError {
    fn from(error: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Broken { why: error.reason }
    }
}

/// Told how far an exchange has come.
#[uniffi::export(with_foreign)]
pub trait ExchangeObserver: Send + Sync {
    /// So far.
    fn progress(&self, report: ExchangeReport);
}

/// How far an exchange has come, or what came of it.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct ExchangeReport {
    /// The other device, once it is known.
    pub peer: Option<String>,
    /// Batches given that the other did not have.
    pub given: u64,
    /// Bytes given.
    pub given_len: u64,
    /// Batches to give in all, as far as is known.
    pub to_give: u64,
    /// Batches taken that were not here.
    pub taken: u64,
    /// Bytes taken.
    pub taken_len: u64,
    /// Batches to take in all, as far as is known.
    pub to_take: u64,
    /// Whether both have what the other had.
    pub is_complete: bool,
}

/// Ends a long call from another thread.
#[derive(Debug, Default, uniffi::Object)]
pub struct Cancel(exchange::Cancel);

impl Cancel {
    pub(crate) fn core(&self) -> &exchange::Cancel {
        &self.0
    }
}

#[uniffi::export]
impl Cancel {
    /// Not cancelled.
    #[uniffi::constructor]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Asks for an end, soon.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

/// What lets one other device in, once, within ten minutes.
#[derive(Debug, uniffi::Object)]
pub struct Invitation(Arc<pairing::Invitation>);

#[uniffi::export]
impl Invitation {
    /// What to show the other device.
    pub fn code(&self) -> String {
        self.0.code().to_string()
    }
}

/// Exchanging with other devices.
#[derive(Debug, uniffi::Object)]
pub struct Peers {
    opened: Arc<Opened>,
}

impl Peers {
    pub(crate) fn new(opened: Arc<Opened>) -> Self {
        Self { opened }
    }
}

#[uniffi::export]
impl Peers {
    /// Makes a code to show another device.
    pub fn invite(&self) -> Result<Arc<Invitation>, BaridError> {
        Ok(Arc::new(Invitation(self.opened.device()?.invite())))
    }

    /// Exchanges with the device that has read this one's code; blocks until both have what the other
    /// had. The stream is closed at the end, however that comes.
    pub fn exchange(
        &self,
        invitation: Arc<Invitation>,
        stream: Arc<dyn ByteStream>,
        observer: Arc<dyn ExchangeObserver>,
        cancel: Arc<Cancel>,
    ) -> Result<ExchangeReport, BaridError> {
        let _closing = Closing(Arc::clone(&stream));
        let device = self.opened.device()?;
        let _under_way = self.opened.note(cancel.core());
        let ends = (Reading(Arc::clone(&stream)), Writing(stream));
        let progress = |report: &PeerReport| observer.progress((*report).into());
        let done = device.exchange(&invitation.0, ends, cancel.core(), progress);
        finished(done, &cancel)
    }

    /// The same for the device that has read the other's code.
    pub fn exchange_with(
        &self,
        code: String,
        stream: Arc<dyn ByteStream>,
        observer: Arc<dyn ExchangeObserver>,
        cancel: Arc<Cancel>,
    ) -> Result<ExchangeReport, BaridError> {
        let _closing = Closing(Arc::clone(&stream));
        let code: PairingCode =
            code.parse().map_err(|error| BaridError::PairingRejected { why: why(&error) })?;
        let device = self.opened.device()?;
        let _under_way = self.opened.note(cancel.core());
        let ends = (Reading(Arc::clone(&stream)), Writing(stream));
        let progress = |report: &PeerReport| observer.progress((*report).into());
        let done = device.exchange_with(&code, ends, cancel.core(), progress);
        finished(done, &cancel)
    }
}

fn finished(done: Result<PeerReport, ExchangeError>, cancel: &Cancel) -> Result<ExchangeReport, BaridError> {
    match done {
        Ok(report) => Ok(report.into()),
        Err(ExchangeError::Closed { .. } | ExchangeError::Carrier { .. }) if cancel.0.is_cancelled() => {
            Err(BaridError::Cancelled)
        }
        Err(error) => Err(error.into()),
    }
}

/// Closes a stream when the call is over: whoever still waits in it is let go.
struct Closing(Arc<dyn ByteStream>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.shut();
    }
}

struct Reading(Arc<dyn ByteStream>);

impl Read for Reading {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len_max = u32::try_from(into.len()).unwrap_or(u32::MAX);
        let bytes = self.0.read(len_max).map_err(io::Error::other)?;
        let target = into.get_mut(..bytes.len()).ok_or_else(|| io::Error::other("more than asked for"))?;
        target.copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

struct Writing(Arc<dyn ByteStream>);

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<PeerReport> for ExchangeReport {
    fn from(report: PeerReport) -> Self {
        Self {
            peer: report.peer.map(|peer| peer.to_string()),
            given: report.given.taken,
            given_len: report.given_len,
            to_give: report.to_give,
            taken: report.taken.taken,
            taken_len: report.taken_len,
            to_take: report.to_take,
            is_complete: report.is_complete,
        }
    }
}

impl From<ExchangeError> for BaridError {
    fn from(error: ExchangeError) -> Self {
        let text = why(&error);
        match error {
            ExchangeError::Closed { reason, report } => match reason {
                CloseReason::Here(code) | CloseReason::There(code) if is_of_the_code(code) => {
                    Self::PairingRejected { why: text }
                }
                _ => Self::ConnectionLost { why: text, report: (*report).into() },
            },
            ExchangeError::Carrier { report, .. } => {
                Self::ConnectionLost { why: text, report: (*report).into() }
            }
            ExchangeError::Store(error) => error.into(),
            ExchangeError::Ingest(_) => Self::Storage { why: text },
        }
    }
}

/// Whether the pairing code is at fault: the other one shows another, or an old one.
fn is_of_the_code(code: CloseCode) -> bool {
    matches!(code, CloseCode::PairingExpired | CloseCode::PairingUsed | CloseCode::Impersonation)
}
