//! The pairing code: what one device shows another, face to face, so that the two may exchange.
//!
//! It names the device that shows it and carries a secret that lets one other in, once, within ten
//! minutes. It says nothing of how the two reach each other: that is the app's choice of a carrier.
//! Only the clock of the device that shows the code decides when it ends: in the desert two phones'
//! clocks may differ by years.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::codec::{ReadError, Reader};
use crate::enrolment::{CodeError, read_code, to_base32};
use crate::id::DeviceId;
use crate::limits::PAIRING_MS_MAX;

const PREFIX: &str = "BARIDP1-";
const CHECKSUM_CONTEXT: &str = "barid 2026 pairing code";
const PSK_CONTEXT: &str = "barid 2026 pairing psk";
const CHECKSUM_LEN: usize = 4;

/// What the device that reads it needs to know. A secret: `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct PairingCode {
    /// Who shows it.
    pub inviter: DeviceId,
    /// Lets one device in.
    secret: Zeroizing<[u8; 16]>,
    /// When it ends, by the clock of who shows it.
    pub expires: Timestamp,
}

impl fmt::Debug for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inviter, expires, .. } = self;
        f.debug_struct("PairingCode")
            .field("inviter", inviter)
            .field("expires", expires)
            .finish_non_exhaustive()
    }
}

/// Text is not a pairing code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairingCodeError {
    /// It does not begin like one.
    #[error("this is not a pairing code: it does not begin with {PREFIX}")]
    Prefix,
    /// It holds a character that no code has.
    #[error("the pairing code has a character that does not belong there, at place {place}")]
    Character {
        /// Counted from 1, in the text as it was given.
        place: usize,
    },
    /// A character was lost or changed.
    #[error("the pairing code is incomplete or mistyped")]
    Checksum,
    /// It is whole, and not made by these rules: perhaps by newer ones.
    #[error("the pairing code is of a kind that this version does not know")]
    Unknown,
}

impl From<ReadError> for PairingCodeError {
    fn from(_: ReadError) -> Self {
        Self::Unknown
    }
}

impl PairingCode {
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(64));
        bytes.push(0);
        bytes.extend(self.inviter.as_bytes());
        bytes.extend(self.secret.iter());
        bytes.extend(self.expires.as_millis().to_be_bytes());
        let sum = checksum(&bytes);
        bytes.extend(sum);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, PairingCodeError> {
        let (payload, sum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(PairingCodeError::Checksum)?;
        if checksum(payload) != *sum {
            return Err(PairingCodeError::Checksum);
        }
        let mut reader = Reader::new(payload);
        if reader.u8()? != 0 {
            return Err(PairingCodeError::Unknown);
        }
        let code = Self {
            inviter: DeviceId::from_bytes(reader.array()?),
            secret: Zeroizing::new(reader.array()?),
            expires: Timestamp::from_millis(reader.i64()?),
        };
        if reader.is_empty() { Ok(code) } else { Err(PairingCodeError::Unknown) }
    }

    /// The key that both ends mix into their handshake.
    pub(crate) fn psk(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(PSK_CONTEXT, &self.to_bytes()))
    }
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_LEN] {
    let hash = blake3::derive_key(CHECKSUM_CONTEXT, payload);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// The code as text, which a QR code packs densely.
impl fmt::Display for PairingCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        f.write_str(&to_base32(&self.to_bytes()))
    }
}

impl FromStr for PairingCode {
    type Err = PairingCodeError;

    /// Reads a code as people type it, as an enrolment code is read.
    fn from_str(text: &str) -> Result<Self, PairingCodeError> {
        let bytes = read_code(PREFIX, text).map_err(|error| match error {
            CodeError::Prefix => PairingCodeError::Prefix,
            CodeError::Character { place } => PairingCodeError::Character { place },
            CodeError::Incomplete => PairingCodeError::Checksum,
        })?;
        Self::from_bytes(&bytes)
    }
}

/// A code that this device shows, until it is used or ends.
#[derive(Debug)]
pub struct Invitation {
    code: PairingCode,
    is_used: AtomicBool,
}

/// An invitation lets nobody in any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// Its time is over.
    #[error("the pairing code has expired")]
    Expired,
    /// Another device came in by it.
    #[error("the pairing code was used already")]
    Used,
}

impl Invitation {
    /// Makes one; `secret` must be random.
    pub fn new(inviter: DeviceId, secret: [u8; 16], now: Timestamp) -> Self {
        let expires = now.plus_millis(PAIRING_MS_MAX);
        Self {
            code: PairingCode { inviter, secret: Zeroizing::new(secret), expires },
            is_used: AtomicBool::new(false),
        }
    }

    /// What to show.
    pub fn code(&self) -> &PairingCode {
        &self.code
    }

    /// Whether it would let a device in now. A clock that was set back does not make it valid longer
    /// than it ever was.
    pub fn check(&self, now: Timestamp) -> Result<(), InvitationError> {
        let begun = self.code.expires.plus_millis(-PAIRING_MS_MAX);
        if now >= self.code.expires || now < begun.plus_millis(-PAIRING_MS_MAX) {
            return Err(InvitationError::Expired);
        }
        if self.is_used.load(Ordering::SeqCst) { Err(InvitationError::Used) } else { Ok(()) }
    }

    /// Lets a device in that has proved to know the secret: once, even of two that come at a time.
    pub(crate) fn use_up(&self, now: Timestamp) -> Result<(), InvitationError> {
        self.check(now)?;
        if self.is_used.swap(true, Ordering::SeqCst) { Err(InvitationError::Used) } else { Ok(()) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::enrolment::EnrolmentCode;

    fn invitation() -> Invitation {
        Invitation::new(DeviceId::from_bytes([7; 32]), [0xab; 16], Timestamp::from_millis(1_790_000_000_000))
    }

    #[test]
    fn a_pairing_code_reads_back_as_people_type_it() {
        let code = invitation().code().clone();
        let text = code.to_string();
        assert!(text.starts_with(PREFIX) && text.len() == 106, "{text}");
        for typed in [text.clone(), text.to_lowercase(), text.replace('0', "٠"), text.replace('1', " l - ")]
        {
            assert_eq!(typed.parse(), Ok(code.clone()), "{typed}");
        }
    }

    #[test]
    fn a_pairing_code_with_one_wrong_or_missing_character_is_refused() {
        let text = invitation().code().to_string();
        for at in PREFIX.len()..text.len() {
            let other = if &text[at..=at] == "7" { "8" } else { "7" };
            let mut wrong = text.clone();
            wrong.replace_range(at..=at, other);
            assert_eq!(wrong.parse::<PairingCode>(), Err(PairingCodeError::Checksum), "place {at}");
            wrong.replace_range(at..=at, "");
            assert_eq!(wrong.parse::<PairingCode>(), Err(PairingCodeError::Checksum), "without {at}");
        }
        assert_eq!("BARIDP1-00U".parse::<PairingCode>(), Err(PairingCodeError::Character { place: 11 }));
        assert_eq!("BARID1-000".parse::<PairingCode>(), Err(PairingCodeError::Prefix));
        assert!(text.parse::<EnrolmentCode>().is_err(), "nor is it an enrolment code");
    }

    #[test]
    fn an_invitation_lets_one_device_in_within_its_ten_minutes() {
        let begun = Timestamp::from_millis(1_790_000_000_000);
        assert_eq!(invitation().use_up(begun.plus_millis(PAIRING_MS_MAX)), Err(InvitationError::Expired));
        let clock_set_back = begun.plus_millis(-PAIRING_MS_MAX - 1);
        assert_eq!(invitation().use_up(clock_set_back), Err(InvitationError::Expired));
        let invitation = invitation();
        assert_eq!(invitation.use_up(begun.plus_millis(PAIRING_MS_MAX - 1)), Ok(()));
        assert_eq!(invitation.use_up(begun), Err(InvitationError::Used));
        assert_eq!(invitation.check(begun), Err(InvitationError::Used));
    }

    #[test]
    fn a_code_does_not_show_its_secret() {
        assert!(!format!("{:?}", invitation()).contains("171"));
    }
}
