//! Why a link ends.
//!
//! A code is one byte on the wire; one that this version does not know is kept as it came.

use super::message::DecodeError;

macro_rules! close_codes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $text:literal;)*) => {
        /// Why one end closes a link.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum CloseCode {
            $($(#[doc = $doc])* #[error($text)] $name,)*
            /// A reason that only a newer peer knows.
            #[error("the peer gave the reason {0}, which this version does not know")]
            Other(u8),
        }

        impl CloseCode {
            /// Every code that this version knows.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The byte on the wire.
            pub const fn to_u8(self) -> u8 {
                match self {
                    $(Self::$name => $code,)*
                    Self::Other(code) => code,
                }
            }

            /// Reads the byte on the wire.
            pub const fn from_u8(code: u8) -> Self {
                match code {
                    $($code => Self::$name,)*
                    other => Self::Other(other),
                }
            }
        }
    };
}

close_codes! {
    /// The end has nothing more to do here.
    Done = 0, "the link was closed in good order";
    /// No version is spoken by both.
    Version = 1, "the two ends have no protocol version in common: one of them must be updated";
    /// A frame cannot be read.
    Malformed = 2, "a frame is malformed";
    /// A frame is longer than any may be.
    TooLarge = 3, "a frame is too large";
    /// A frame is well formed but must not come now, or names something that is not open.
    Unexpected = 4, "a frame came out of turn";
    /// More was sent than the other end had given room for.
    Overrun = 5, "more was sent than there was room for";
    /// The handshake's signature is not by the key expected.
    Impersonation = 6, "the other end cannot prove that it is who it should be";
    /// The handshake did not end in time.
    HandshakeTimeout = 7, "the handshake took too long";
    /// Nothing came for too long.
    Idle = 8, "nothing was heard for too long";
    /// The relay does not know the device, yet.
    UnknownDevice = 9, "the relay does not know this device, yet";
    /// The device was revoked.
    Revoked = 10, "this device has been revoked";
    /// The relay opened a newer link with the same device.
    Replaced = 11, "a newer link of the same device took over";
    /// The relay is stopping, or has too much to do.
    Busy = 12, "the relay has no room now";
    /// The closing end failed in itself, by its disk for example.
    Failed = 13, "the other end met a failure of its own";
    /// What was settled when the link opened has changed: open it again.
    Reopen = 14, "the link must be opened anew";
    /// A batch's structure is malformed.
    BatchMalformed = 15, "a batch is malformed";
    /// The enrolment's token is not known, and perhaps never was.
    TokenUnknown = 32, "the enrolment code is not known to this relay";
    /// The enrolment's token is too old.
    TokenExpired = 33, "the enrolment code has expired";
    /// The enrolment's token was used, by another device.
    TokenUsed = 34, "the enrolment code was used already";
    /// The relay does not let this device enrol.
    EnrolmentRefused = 35, "the relay refuses to enrol this device";
    /// The pairing code is too old.
    PairingExpired = 48, "the pairing code has expired";
    /// The pairing code was used, by another device.
    PairingUsed = 49, "the pairing code was used already";
}

impl From<DecodeError> for CloseCode {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::TooLarge(_) => Self::TooLarge,
            DecodeError::Version => Self::Version,
            _ => Self::Malformed,
        }
    }
}

/// Who ended a link, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CloseReason {
    /// This end closed.
    #[error("closed by this end: {0}")]
    Here(CloseCode),
    /// The other end closed.
    #[error("closed by the other end: {0}")]
    There(CloseCode),
    /// The carrier broke.
    #[error("the link was cut")]
    Cut,
}

impl CloseReason {
    /// The reason itself, whoever gave it.
    pub const fn code(self) -> Option<CloseCode> {
        match self {
            Self::Here(code) | Self::There(code) => Some(code),
            Self::Cut => None,
        }
    }

    /// Whether another try by itself may end better. Otherwise a person must act: update one end,
    /// enrol again.
    pub const fn is_worth_another_try(self) -> bool {
        use CloseCode as C;
        !matches!(
            self.code(),
            Some(
                C::Version
                    | C::Impersonation
                    | C::Revoked
                    | C::Replaced
                    | C::TokenUnknown
                    | C::TokenExpired
                    | C::TokenUsed
                    | C::EnrolmentRefused
                    | C::PairingExpired
                    | C::PairingUsed
            )
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_a_close_code_and_reads_back() {
        for byte in 0..=u8::MAX {
            assert_eq!(CloseCode::from_u8(byte).to_u8(), byte);
        }
        assert!(CloseCode::ALL.iter().all(|code| CloseCode::from_u8(code.to_u8()) == *code));
    }
}
