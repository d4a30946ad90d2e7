//! The protocol: frames, messages and the two ends of a link, sans-IO.
//!
//! Each end is a state machine with two verbs, `handle(input, now)` and `poll_output()`, and one
//! contract: after each input, drain the outputs, and perform them in order. Inputs and outputs are
//! plain data; wanting bytes from a store or a log is an output, having them is an input. There is no
//! clock, randomness, thread, file or socket in here, so one seeded test can drive both ends through
//! every cut. The bytes are described in `core/PROTOCOL.md`, whose examples a test runs.
//!
//! ```text
//! DeviceSession  ── frames ──  RelaySession        an enrolled device
//! EnrolSession   ── frames ──  RelaySession        a device with an enrolment code
//! PeerSession    ── frames ──  PeerSession         two devices that meet
//! ```

mod attachment;
mod backoff;
mod close;
mod device;
mod download;
mod enrol;
mod fanout;
mod handshake;
mod message;
mod peer;
mod relay;
mod timer;
mod upload;
mod window;

pub use crate::attachment::{
    AttachmentFetch, AttachmentKept, AttachmentName, AttachmentOffer, AttachmentRefusal,
};
pub use attachment::AttachmentProgress;
pub use backoff::Backoff;
pub use close::{CloseCode, CloseReason};
pub use device::{DeviceInput, DeviceOutput, DeviceSession, DeviceSessionConfig, SessionProgress, Transfer};
pub use enrol::{EnrolInput, EnrolOutput, EnrolSession, EnrolSessionConfig};
pub use message::{CursorClaim, Enrolment};
pub use peer::{PeerInput, PeerOutput, PeerReport, PeerRole, PeerSession, PeerSessionConfig, Tally};
#[doc(hidden)]
pub use peer::{PeerVoice, rewrite_peer};
pub use relay::{Logged, OpenedSpace, RelayInput, RelayOutput, RelaySession, RelaySessionConfig};

/// Reads a frame and writes what was read, for whoever checks that a message has one form only.
#[doc(hidden)]
pub fn rewrite(frame: &[u8]) -> Result<Vec<u8>, CloseCode> {
    Ok(message::Message::decode(frame)?.encode())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
