//! Control: signed statements about membership, and the pure verdict on a batch.
//!
//! Statements travel as batches of kind *control* in an administrator's chain. What they amount to
//! is a function of the set held, never of the order in which they came and never of a clock: a batch
//! that one replica accepts is refused by none. A revoke, an adopt or a fork may move a batch into
//! quarantine and out of it, on every replica alike.

mod author;
mod bound;
pub mod branch;
mod membership;
mod statement;

use std::fmt;

pub use author::{
    ControlChain, admit_device, adopt, discard, erase, found_organisation, found_space, revoke_device,
    revoke_device_and_ask_wipe, seal_control,
};
pub use bound::{Bound, Pin};
pub use membership::{ControlError, Membership};
pub use statement::{
    AdoptStatement, Cut, DeviceState, DeviceStatement, DiscardStatement, Discarded, EraseStatement,
    OrganisationStatement, RevokeStatement, SpaceKind, SpaceOrganisation, SpaceStatement, Statement,
    StatementError,
};

/// What becomes of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It belongs into the log.
    Accepted,
    /// Not yet: its sender keeps it and tries again.
    RetryLater(RetryReason),
    /// Kept aside, durably, and not in the log: its sender has delivered it, and nobody else gets it
    /// unless it is adopted.
    Quarantined(QuarantineReason),
    /// Not stored: on this link trying again gives the same answer.
    Refused(RefuseReason),
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $code,)*
        }

        impl $name {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The number that stands for it on a link; it never changes its meaning.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The reason with this number.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// What to show to a person who reads English.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.text())
            }
        }
    };
}

reasons! {
    /// Why a batch has to wait.
    RetryReason {
        /// The author is not known yet.
        UnknownDevice = 1, "the device is not known here yet";
        /// The space's genesis is not known yet.
        UnknownSpace = 2, "the space is not known here yet";
        /// A batch of the chain before it has not come yet.
        MissingPredecessor = 3, "an earlier batch of the same chain has not arrived yet";
        /// A critical control statement is held that this version cannot read.
        UnknownControl = 4, "a rule of the space needs a newer version of this program";
        /// Too much is on its way; nothing is wrong with the batch.
        Busy = 5, "the relay is busy";
        /// It could not be made durable.
        NotDurable = 6, "the relay could not store the batch";
        /// A newer version may be able to read it.
        UnknownVersion = 7, "the batch needs a newer version of this program";
        /// Something of it is erased, and no erasure of the space is held.
        UnknownErasure = 8, "the decision to erase what is missing from the batch has not arrived yet";
    }
}

reasons! {
    /// Why a batch is in quarantine.
    QuarantineReason {
        /// Its device was revoked, and it is beyond the cut.
        Revoked = 1, "the device was revoked before it wrote this";
        /// Another branch of its chain stands.
        Fork = 2, "another branch of the chain stands";
    }
}

reasons! {
    /// Why a batch is not taken.
    RefuseReason {
        /// The signature is not by the header's device.
        WrongSignature = 1, "the signature does not match";
        /// The structure is wrong, or the body is not what was signed.
        Malformed = 2, "the batch is malformed";
        /// A limit of the format is exceeded.
        TooLarge = 3, "the batch is too large";
        /// The author may not do this.
        NotPermitted = 4, "the device may not write this";
        /// Another batch stands at its place in the chain.
        Fork = 5, "another batch stands at the same place of the chain";
        /// It is of another device or space than the link may carry.
        Misplaced = 6, "the batch does not belong to this link";
        /// As much of its device is in quarantine as may be, until an administrator decides.
        QuarantineFull = 7, "the device's quarantine is full";
    }
}

impl From<crate::batch::BatchError> for Verdict {
    /// The verdict on bytes that cannot be parsed, verified or opened.
    fn from(error: crate::batch::BatchError) -> Self {
        use crate::batch::BatchError as E;
        match error {
            E::WrongSignature => Self::Refused(RefuseReason::WrongSignature),
            E::TooLarge { .. } | E::Count(_) | E::RawLen(_) => Self::Refused(RefuseReason::TooLarge),
            _ if error.keeps_unread() => Self::RetryLater(RetryReason::UnknownVersion),
            _ => Self::Refused(RefuseReason::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_number() {
        for reason in RetryReason::ALL {
            assert_eq!(RetryReason::from_code(reason.code()), Some(*reason));
        }
        for reason in RefuseReason::ALL {
            assert_eq!(RefuseReason::from_code(reason.code()), Some(*reason));
        }
        for reason in QuarantineReason::ALL {
            assert_eq!(QuarantineReason::from_code(reason.code()), Some(*reason));
        }
        assert_eq!((RetryReason::from_code(0), RefuseReason::from_code(0)), (None, None));
        assert_eq!(QuarantineReason::from_code(0), None);
    }
}
