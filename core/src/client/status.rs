//! What the sync is doing, in plain values that a screen can show.

use crate::clock::Timestamp;
use crate::control::Verdict;
use crate::protocol::{AttachmentProgress, CloseReason, Transfer};
use crate::store::UnsentAttachments;

/// What the client is doing now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Stopped by the app; nothing is tried until it resumes.
    Paused,
    /// No link; the next try is at [`SyncStatus::next_try`].
    #[default]
    Waiting,
    /// A link is being made.
    Connecting,
    /// Something is on its way.
    Syncing,
    /// Connected; everything known here and there has been exchanged and acknowledged.
    UpToDate,
}

/// Bytes of frames on one link, without what carries them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LinkLen {
    /// To the relay.
    pub up: u64,
    /// From the relay.
    pub down: u64,
}

/// The observable state of the sync.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SyncStatus {
    /// What the client is doing now.
    pub phase: Phase,
    /// Towards the relay; done means acknowledged.
    pub up: Transfer,
    /// From the relay; done means stored.
    pub down: Transfer,
    /// What this link, or else the last one, has cost.
    pub link_len: LinkLen,
    /// Records with changes that no relay has acknowledged yet.
    pub unsent_records: u64,
    /// What is attached here and no relay has yet; "up to date" does not wait for it.
    pub unsent_attachments: UnsentAttachments,
    /// How far attachments are on this link, or else the last one.
    pub attachments: AttachmentProgress,
    /// Why the relay does not take something of this device's, while that is so: the phone keeps it,
    /// and is not up to date until somebody looks into it.
    pub turned_down: Option<Verdict>,
    /// Whether the relay says that this device was revoked.
    pub revoked: bool,
    /// When everything was last exchanged and acknowledged.
    pub last_success: Option<Timestamp>,
    /// When the next link is tried, while waiting.
    pub next_try: Option<Timestamp>,
    /// Why the last link ended or could not be made.
    pub error: Option<SyncError>,
}

/// Why there is no link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// No answer from the address: no network, or nothing listens there.
    #[error("connecting to the relay: it cannot be reached")]
    Unreachable,
    /// The relay's certificate is not the one of the enrolment code.
    #[error("connecting to the relay: its certificate is not the pinned one")]
    Certificate,
    /// The address is another machine's and would be spoken to in the clear.
    #[error("connecting to the relay: links to another machine are encrypted, and this address is not")]
    Unencrypted,
    /// The address answered, but not as a relay does.
    #[error("connecting to the relay: the address does not answer as a relay")]
    NotARelay,
    /// The link was cut in the middle.
    #[error("the link to the relay was cut")]
    Cut,
    /// One end closed the session and said why.
    #[error("the session was closed: {0}")]
    Closed(CloseReason),
    /// The device's own database failed.
    #[error("the device's database failed during the sync")]
    Storage,
}
