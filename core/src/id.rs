//! Every identifier, each a newtype over its bytes.
//!
//! An identifier is parsed at the edge and is valid from then on. Hashes are BLAKE3 under a named
//! context, so that the same bytes never mean two things.

use std::fmt;
use std::str::FromStr;

/// The text given is not an identifier of this type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text_len} characters are not a {kind}: expected {expected_len} hexadecimal digits")]
pub struct ParseIdError {
    kind: &'static str,
    text_len: usize,
    expected_len: usize,
}

/// Writes bytes as lower-case hexadecimal.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// Reads hexadecimal of exactly `N` bytes, ignoring hyphens.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0u8; N];
    let mut digits = text.bytes().filter(|b| *b != b'-');
    for byte in &mut bytes {
        let high = (digits.next()? as char).to_digit(16)?;
        let low = (digits.next()? as char).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    digits.next().is_none().then_some(bytes)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps bytes that are already known to be such an identifier.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Wraps a slice of exactly the right length.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes themselves.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), &to_hex(&self.0[..4]))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                from_hex(text).map(Self).ok_or(ParseIdError {
                    kind: stringify!($name),
                    text_len: text.chars().count(),
                    expected_len: $len * 2,
                })
            }
        }
    };
}

macro_rules! hex_display {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_hex(&self.0))
            }
        }
    )*};
}

id! {
    /// A device: its Ed25519 public key. Administrators' keys are devices too.
    DeviceId, 32
}
id! {
    /// An organisation: the hash of its genesis statement, so its name and key may change.
    OrganisationId, 32
}
id! {
    /// A space, the unit of replication and trust: the hash of its genesis statement.
    SpaceId, 32
}
id! {
    /// Random, made with the database file: a restored or cloned file never reuses a chain.
    Incarnation, 8
}
id! {
    /// A chain: one writer's hash-linked sequence of batches in one lane of one space.
    ChainId, 32
}
id! {
    /// A batch: the hash of its header.
    BatchId, 32
}
id! {
    /// A record, unique within its space and kind. Shown as a UUID.
    RecordId, 16
}
id! {
    /// One Automerge change: the SHA-256 that Automerge itself computes.
    ChangeHash, 32
}
id! {
    /// Who wrote a change, as Automerge sees it: the first half of a chain's id.
    ActorId, 16
}
id! {
    /// One relay's log. A relay restored from a backup takes a new one.
    LogId, 16
}
id! {
    /// A log of one space up to some offset: a hash over the ids of all batches there, in order.
    /// Equal digests mean the same log, whatever else may be said about it.
    LogDigest, 16
}

id! {
    /// An attachment: the plain BLAKE3 of its stored bytes, as `b3sum` prints it. It is known within a
    /// space only: neither being there nor being read crosses spaces.
    AttachmentHash, 32
}

hex_display!(DeviceId OrganisationId SpaceId Incarnation ChainId BatchId ChangeHash ActorId LogId LogDigest);
hex_display!(AttachmentHash);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = to_hex(&self.0);
        write!(f, "{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

impl RecordId {
    /// Makes a version 7 UUID: the capture time in front keeps an index of new records local.
    pub fn new(now: crate::clock::Timestamp, random: [u8; 10]) -> Self {
        let mut bytes = [0u8; 16];
        bytes[..6].copy_from_slice(&now.as_millis().max(0).to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&random);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        Self(bytes)
    }
}

impl AttachmentHash {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl LogDigest {
    /// Of a log without a batch.
    pub const EMPTY: Self = Self([0; 16]);

    /// Of the same log with one more batch.
    pub fn then(self, batch: BatchId) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("barid 2026 log");
        hasher.update(&self.0);
        hasher.update(batch.as_bytes());
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(digest)
    }
}

impl ChainId {
    /// The id of the chain that a device writes in one lane of one space with one database file.
    pub fn derive(
        device: DeviceId,
        incarnation: Incarnation,
        space: SpaceId,
        lane: crate::batch::Lane,
    ) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("barid 2026 chain");
        hasher.update(device.as_bytes());
        hasher.update(incarnation.as_bytes());
        hasher.update(space.as_bytes());
        hasher.update(&[lane as u8]);
        Self(*hasher.finalize().as_bytes())
    }

    /// The Automerge actor of every change that this chain carries.
    pub fn actor(&self) -> ActorId {
        let mut actor = [0u8; 16];
        actor.copy_from_slice(&self.0[..16]);
        ActorId(actor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_record_id_reads_back_from_its_own_text() {
        let id = RecordId::new(Timestamp::from_millis(1_790_000_000_000), [7; 10]);
        assert_eq!(id.to_string().parse::<RecordId>(), Ok(id));
        assert_eq!(id.to_string().as_bytes()[14], b'7');
    }

    #[test]
    fn a_logs_digest_depends_on_every_batch_and_on_their_order() {
        let batch = |number| BatchId::from_bytes([number; 32]);
        let of = |batches: &[u8]| batches.iter().fold(LogDigest::EMPTY, |log, n| log.then(batch(*n)));
        assert_eq!(of(&[1, 2, 3]), of(&[1, 2]).then(batch(3)));
        let all = [of(&[]), of(&[1]), of(&[2]), of(&[1, 2]), of(&[2, 1]), of(&[1, 1]), of(&[3, 2])];
        assert!(all.iter().enumerate().all(|(place, one)| !all[..place].contains(one)));
    }

    #[test]
    fn an_attachment_is_named_as_b3sum_names_it() {
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(AttachmentHash::of(b"").to_string(), empty);
        assert_eq!(empty.parse(), Ok(AttachmentHash::of(b"")));
    }

    #[test]
    fn text_that_is_no_id_is_refused_with_its_length() {
        let error = "abc".parse::<SpaceId>().unwrap_err();
        assert_eq!(error.to_string(), "3 characters are not a SpaceId: expected 64 hexadecimal digits");
        assert!("zz".repeat(32).parse::<SpaceId>().is_err());
        assert!("00".repeat(33).parse::<SpaceId>().is_err());
    }
}
