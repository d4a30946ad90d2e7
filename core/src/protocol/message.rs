//! What the two ends say to each other, and its bytes: one message is one frame.
//!
//! What is said is here, its bytes in `wire`.

mod wire;

use std::fmt;

use super::close::CloseCode;
use crate::attachment::AttachmentRefusal;
use crate::codec::ReadError;
use crate::control::Verdict;
use crate::id::{AttachmentHash, BatchId, DeviceId, Incarnation, LogDigest, LogId, OrganisationId, SpaceId};
use crate::position::{OwnChain, QuarantineDigest};

pub(super) use wire::{batch_frame, control_frame, push_frame};

/// A frame's bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    /// Nothing at all.
    #[error("a frame is empty")]
    Empty,
    /// More than [`FRAME_LEN_MAX`](crate::limits::FRAME_LEN_MAX).
    #[error("a frame has {0} bytes, more than any may have")]
    TooLarge(usize),
    /// A type byte that this version does not know.
    #[error("no message has the type {0:#04x}")]
    UnknownType(u8),
    /// A field has no end, or a varint is not in its shortest form.
    #[error("a frame ends in the middle of a field, or holds a malformed number")]
    Field,
    /// Bytes follow the last field.
    #[error("a frame goes on after its last field")]
    Trailing,
    /// A count or a length is beyond its bound.
    #[error("a count or a length is beyond its bound")]
    TooMany,
    /// A flag, a lane or another small number has a value that means nothing.
    #[error("a field has a value that means nothing")]
    Value,
    /// A first frame of an end that speaks none of the versions spoken here.
    #[error("the other end speaks no version that is spoken here")]
    Version,
    /// Text is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
}

impl From<ReadError> for DecodeError {
    fn from(_: ReadError) -> Self {
        Self::Field
    }
}

/// The protocol versions that one end speaks, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Versions {
    /// The oldest.
    pub(super) lowest: u8,
    /// The newest.
    pub(super) highest: u8,
}

impl Versions {
    /// What this build speaks.
    pub(super) const SPOKEN: Self = Self { lowest: 1, highest: 2 };
    /// What two devices speak that meet.
    pub(super) const PEERS: Self = Self { lowest: 1, highest: 1 };
    /// The first with attachments.
    pub(super) const ATTACHMENTS: u8 = 2;

    /// The newest version that both ends speak.
    pub(super) fn agree(self, other: Self) -> Option<u8> {
        let highest = self.highest.min(other.highest);
        (highest >= self.lowest.max(other.lowest)).then_some(highest)
    }

    /// Whether this version is among them.
    pub(super) fn contains(self, version: u8) -> bool {
        (self.lowest..=self.highest).contains(&version)
    }
}

/// The first frame of a device that is enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hello {
    /// What the device speaks.
    pub(super) versions: Versions,
    /// Who it says it is.
    pub(super) device: DeviceId,
    /// Which of its database files.
    pub(super) incarnation: Incarnation,
    /// Fresh for this link.
    pub(super) nonce: [u8; 16],
}

/// The relay's answer to a [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Welcome {
    /// The version that the link speaks from here on.
    pub(super) version: u8,
    /// Fresh for this link.
    pub(super) nonce: [u8; 16],
    /// By the relay's key, over the transcript.
    pub(super) signature: [u8; 64],
}

/// How far a device says it holds a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CursorClaim {
    /// The log.
    pub log: LogId,
    /// The offset.
    pub offset: u64,
    /// What the log is up to there.
    pub digest: LogDigest,
}

/// A space that a device wants to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    /// The space.
    pub(super) space: SpaceId,
    /// Where the device stands in the relay's log; none before its first batch.
    pub(super) cursor: Option<CursorClaim>,
    /// What it believes the relay holds of its own chains: [`crate::position::own_digest`].
    pub(super) own_digest: [u8; 16],
}

/// The device's proof, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    /// By the device's key, over the transcript and the rest of this message.
    pub(super) signature: [u8; 64],
    /// Where the device stands.
    pub(super) standing: Standing,
}

/// What a device says about itself once the relay has proved itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Standing {
    /// Records with changes that the relay does not hold.
    pub(super) unsent: u64,
    /// The spaces it wants to open; later frames name them by their place here.
    pub(super) spaces: Vec<Open>,
}

/// Where the relay stands in one space that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SpaceState {
    /// The device is no member of it.
    NotMember,
    /// It is open.
    Open {
        /// The relay's log, said only when the cursor does not hold.
        log: Option<LogId>,
        /// The last offset of the log; 0 when it is empty.
        head: u64,
        /// Bytes of the batches that will be sent to reach it, at most.
        len_after_cursor: u64,
        /// The offset up to which the relay's newest backup has the log; 0 without one.
        watermark: u64,
        /// The device was revoked here: it gets control batches and nothing else.
        is_revoked: bool,
        /// Which of the device's own batches are in quarantine.
        quarantined: QuarantineDigest,
        /// What the relay holds of the device's own chains, said only when the digest differs.
        own: Option<Vec<OwnChain>>,
    },
}

/// The first frame of a device that has an enrolment code.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Enrol {
    /// What the device speaks.
    pub(super) versions: Versions,
    /// The code's token.
    pub(super) token: [u8; 16],
    /// The key to enrol.
    pub(super) device: DeviceId,
    /// Fresh for this link.
    pub(super) nonce: [u8; 16],
    /// By the device's key, over the rest of this message and the relay's key.
    pub(super) signature: [u8; 64],
    /// What people call the device.
    pub(super) label: String,
}

/// The relay has enrolled the device.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Enrolled {
    /// The version that the answer speaks.
    pub(super) version: u8,
    /// By the relay's key, over the request and the rest of this message.
    pub(super) signature: [u8; 64],
    /// What the device belongs to now.
    pub(super) membership: Enrolment,
}

/// What a device belongs to once it is enrolled.
#[derive(Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Its organisation.
    pub organisation: OrganisationId,
    /// The organisation's name in Arabic.
    pub name_ar: String,
    /// The organisation's name in English.
    pub name_en: String,
    /// The spaces it may write to, the usual one first.
    pub spaces: Vec<SpaceId>,
}

/// One message; its frame is [`Message::encode`].
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// Device: who it is.
    Hello(Hello),
    /// Relay: who it is.
    Welcome(Welcome),
    /// Device: proves it, and says where it stands.
    Proof(Proof),
    /// Relay: where it stands, for each space asked for.
    State(Vec<SpaceState>),
    /// Device: a batch.
    Push {
        /// The space, by its place in the proof.
        space: u8,
        /// The batch as sealed.
        batch: Vec<u8>,
    },
    /// Relay: what became of a batch. Accepted means durable, and has a frame of its own.
    Answer {
        /// The batch.
        batch: BatchId,
        /// The verdict.
        verdict: Verdict,
    },
    /// Relay: a batch of the log.
    Batch {
        /// The space, by its place in the proof.
        space: u8,
        /// Its offset.
        offset: u64,
        /// What the log is up to there.
        digest: LogDigest,
        /// The batch as sealed.
        batch: Vec<u8>,
    },
    /// Relay: a control batch of the log, ahead of its turn.
    Control {
        /// The space, by its place in the proof.
        space: u8,
        /// The batch as sealed.
        batch: Vec<u8>,
    },
    /// Relay: the cursor moves without a batch, over the device's own.
    Reached {
        /// The space, by its place in the proof.
        space: u8,
        /// The offset.
        offset: u64,
        /// What the log is up to there.
        digest: LogDigest,
    },
    /// Either: answer this. From the relay it also ends a group of batches.
    Ping {
        /// Comes back in the answer.
        number: u64,
    },
    /// Either: everything that came before the ping has been taken in.
    Pong {
        /// The ping's number.
        number: u64,
    },
    /// Device: how many records the relay does not hold yet.
    Report {
        /// Records.
        unsent: u64,
    },
    /// Device: asks to be enrolled.
    Enrol(Enrol),
    /// Relay: enrolled.
    Enrolled(Enrolled),
    /// Device: it has an attachment, whole.
    Offer {
        /// The space, by its place in the proof.
        space: u8,
        /// The attachment.
        hash: AttachmentHash,
        /// Its bytes.
        len: u64,
    },
    /// Relay: how much of an attachment is there; the answer to an offer and to a piece.
    Holds {
        /// The space, by its place in the proof.
        space: u8,
        /// The attachment.
        hash: AttachmentHash,
        /// Bytes from its beginning.
        held: u64,
        /// The last offset of the space's log then, if that is all of it, checked and durable.
        head: Option<u64>,
    },
    /// Device: a part of an attachment.
    Piece {
        /// The space, by its place in the proof.
        space: u8,
        /// The attachment.
        hash: AttachmentHash,
        /// Where in it.
        offset: u64,
        /// At least one byte.
        bytes: Vec<u8>,
    },
    /// Relay: an attachment, or a part of it, is not taken.
    NotWanted {
        /// The space, by its place in the proof.
        space: u8,
        /// The attachment.
        hash: AttachmentHash,
        /// Why.
        refusal: AttachmentRefusal,
    },
    /// Device: it wants an attachment.
    Fetch {
        /// The space, by its place in the proof.
        space: u8,
        /// The attachment.
        hash: AttachmentHash,
        /// Where to begin.
        offset: u64,
    },
    /// Relay: a part of an attachment.
    Bytes {
        /// The space, by its place in the proof.
        space: u8,
        /// The attachment.
        hash: AttachmentHash,
        /// Its bytes, all of them.
        len: u64,
        /// Where in it.
        offset: u64,
        /// At least one byte.
        bytes: Vec<u8>,
    },
    /// Device: how much of an attachment it holds; the answer to each part.
    Got {
        /// The space, by its place in the proof.
        space: u8,
        /// The attachment.
        hash: AttachmentHash,
        /// Bytes from its beginning.
        held: u64,
    },
    /// Relay: it has no such attachment.
    Lacks {
        /// The space, by its place in the proof.
        space: u8,
        /// The attachment.
        hash: AttachmentHash,
    },
    /// Relay: it lacks these, and whoever has one may offer it.
    Sought {
        /// The space, by its place in the proof.
        space: u8,
        /// The attachments.
        hashes: Vec<AttachmentHash>,
    },
    /// Either: the last frame.
    Close(CloseCode),
}

impl fmt::Debug for Enrol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrol").field("device", &self.device).finish_non_exhaustive()
    }
}

impl fmt::Debug for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolled").field("membership", &self.membership).finish_non_exhaustive()
    }
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolment")
            .field("organisation", &self.organisation)
            .field("spaces", &self.spaces)
            .finish_non_exhaustive()
    }
}

/// Says what kind of message it is, and no content.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(hello) => write!(f, "Hello by {:?}", hello.device),
            Self::Welcome(welcome) => write!(f, "Welcome in version {}", welcome.version),
            Self::Proof(proof) => write!(f, "Proof for {} spaces", proof.standing.spaces.len()),
            Self::State(spaces) => write!(f, "State of {} spaces", spaces.len()),
            Self::Push { space, batch } => write!(f, "Push of {} bytes to {space}", batch.len()),
            Self::Answer { batch, verdict } => write!(f, "Answer {verdict:?} to {batch:?}"),
            Self::Batch { space, offset, batch, .. } => {
                write!(f, "Batch of {} bytes at {offset} of {space}", batch.len())
            }
            Self::Control { space, batch } => write!(f, "Control of {} bytes of {space}", batch.len()),
            Self::Reached { space, offset, .. } => write!(f, "Reached {offset} of {space}"),
            Self::Ping { number } => write!(f, "Ping {number}"),
            Self::Pong { number } => write!(f, "Pong {number}"),
            Self::Report { unsent } => write!(f, "Report of {unsent} unsent"),
            Self::Enrol(enrol) => write!(f, "{enrol:?}"),
            Self::Enrolled(enrolled) => write!(f, "{enrolled:?}"),
            Self::Offer { space, hash, len } => write!(f, "Offer of {hash:?}, {len} bytes, to {space}"),
            Self::Holds { hash, held, .. } => write!(f, "Holds {held} bytes of {hash:?}"),
            Self::Piece { hash, offset, bytes, .. } => {
                write!(f, "Piece of {} bytes at {offset} of {hash:?}", bytes.len())
            }
            Self::NotWanted { hash, refusal, .. } => write!(f, "NotWanted {hash:?}: {refusal:?}"),
            Self::Fetch { hash, offset, .. } => write!(f, "Fetch of {hash:?} from {offset}"),
            Self::Bytes { hash, offset, bytes, .. } => {
                write!(f, "Bytes, {} at {offset}, of {hash:?}", bytes.len())
            }
            Self::Got { hash, held, .. } => write!(f, "Got {held} bytes of {hash:?}"),
            Self::Lacks { hash, .. } => write!(f, "Lacks {hash:?}"),
            Self::Sought { hashes, .. } => write!(f, "Sought: {} attachments", hashes.len()),
            Self::Close(code) => write!(f, "Close {code:?}"),
        }
    }
}
