//! Attachments on a link, since version 2 of the protocol: both ends' halves, beside the batches.
//!
//! Both directions are alike. Whoever has the bytes sends small parts within a window of its own, while
//! no batch waits; whoever takes them says after each part how much it holds, and that is where the other
//! goes on, on this link or a later one. Nothing counts before it was checked whole against its hash.

mod delay;
mod desk;
mod device;
mod give;
mod take;

use super::window::Window;
use crate::attachment::AttachmentName;
use crate::limits::{ATTACHMENT_PIECE_LEN_MAX, ATTACHMENT_PIECE_LEN_MIN};

pub(super) use desk::{Desk, say_sought};
pub(super) use device::Attachments;

/// How far attachments are on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttachmentProgress {
    /// Attachments that the relay has taken whole on this link, or had.
    pub up: u64,
    /// Bytes of attachments that the relay has taken on this link.
    pub up_len: u64,
    /// Attachments that came whole on this link.
    pub down: u64,
    /// Bytes of attachments that came on this link.
    pub down_len: u64,
}

/// Bytes of the next part: so few that a slow link has little in front of a batch.
fn piece_len(window: &Window<AttachmentName>) -> usize {
    (window.len() / 4).clamp(ATTACHMENT_PIECE_LEN_MIN, ATTACHMENT_PIECE_LEN_MAX)
}
