//! What is said of attachments between whoever holds them and whoever moves them: plain values.

use crate::id::{AttachmentHash, SpaceId};

/// An attachment is known within its space only.
pub type AttachmentName = (SpaceId, AttachmentHash);

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why a relay does not take an attachment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum AttachmentRefusal {
            $($(#[doc = $doc])* #[error($text)] $name,)*
        }

        impl AttachmentRefusal {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The byte on the wire.
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            /// Reads the byte on the wire.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

refusals! {
    /// It is longer than the relay takes.
    TooLarge = 1, "the attachment is longer than the relay takes";
    /// The device was revoked, or is no member.
    NotPermitted = 2, "the relay takes no attachments of this device";
    /// The space or the device has used up what it may; to be offered again later.
    Full = 3, "the relay has no room for more attachments now";
    /// What came is not what the hash says: it begins again.
    Harmed = 4, "what came of the attachment was harmed on its way";
    /// It could not be stored now; to be offered again later.
    NotNow = 5, "the relay could not store the attachment now";
}

impl AttachmentRefusal {
    /// Whether the same attachment may be taken later, without anybody doing anything about it here.
    pub const fn is_for_now(self) -> bool {
        !matches!(self, Self::TooLarge | Self::NotPermitted)
    }
}

/// An attachment that a device has whole, and the relay perhaps not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachmentOffer {
    /// Its space.
    pub space: SpaceId,
    /// Which one.
    pub hash: AttachmentHash,
    /// Its bytes.
    pub len: u64,
    /// A thumbnail goes before all that are not.
    pub is_thumbnail: bool,
}

/// An attachment that a device wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachmentFetch {
    /// Its space.
    pub space: SpaceId,
    /// Which one.
    pub hash: AttachmentHash,
    /// Bytes held from its beginning.
    pub held: u64,
}

/// What became of a part that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentKept {
    /// It is kept; more is to come.
    Part {
        /// Bytes held from the beginning.
        held: u64,
    },
    /// That was the last part, and all of it is what the hash says.
    Whole,
    /// That was the last part, and it is not what the hash says; all of it was dropped.
    Harmed,
    /// It is not wanted any more, or could not be kept.
    Unwanted,
}
