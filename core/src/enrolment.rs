//! The enrolment code: what a new phone needs to reach its relay and to be let in once.
//!
//! It is shown as a QR code (capitals and digits alone, which QR packs densely) or typed from
//! paper, on an Arabic keyboard as well. It is a secret until it is used: `Debug` hides the token.

use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;
use crate::codec::{ReadError, Reader};
use crate::id::DeviceId;

/// Crockford's base 32: no I, L, O or U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const PREFIX: &str = "BARID1-";
const CHECKSUM_CONTEXT: &str = "barid 2026 enrolment code";
const CHECKSUM_LEN: usize = 4;
const ADDRESS_LEN_MAX: usize = 200;
const FLAG_TLS: u8 = 1;
const FLAG_PIN: u8 = 2;

/// An invitation for one device.
#[derive(Clone, PartialEq, Eq)]
pub struct EnrolmentCode {
    /// Where the relay listens: `ws://` or `wss://`, a host, a port.
    pub url: String,
    /// The relay's key, which is pinned from now on.
    pub relay_key: DeviceId,
    /// SHA-256 of the DER of the certificate to trust, authority's or server's own.
    pub certificate_pin: Option<[u8; 32]>,
    /// Lets in once.
    pub token: [u8; 16],
    /// When it ends, by the relay's clock.
    pub expires: Timestamp,
}

/// Hides the token.
impl fmt::Debug for EnrolmentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentCode")
            .field("url", &self.url)
            .field("relay_key", &self.relay_key)
            .field("has_pin", &self.certificate_pin.is_some())
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Text is not an enrolment code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentError {
    /// It does not begin like one.
    #[error("this is not an enrolment code: it does not begin with {PREFIX}")]
    Prefix,
    /// It holds a character that no code has.
    #[error("the enrolment code has a character that does not belong there, at place {place}")]
    Character {
        /// Counted from 1, in the text as it was given.
        place: usize,
    },
    /// A character was lost or changed.
    #[error("the enrolment code is incomplete or mistyped")]
    Checksum,
    /// It is whole, and yet not made by these rules.
    #[error("the enrolment code is malformed")]
    Malformed,
    /// The address is not `ws://` or `wss://` with a host, or is too long.
    #[error("the relay's address is not a ws:// or wss:// address")]
    Address,
}

impl From<ReadError> for EnrolmentError {
    fn from(_: ReadError) -> Self {
        Self::Malformed
    }
}

impl EnrolmentCode {
    /// Whether it has ended.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires
    }

    /// Checks that the code can be written: the address is one that it can carry.
    pub fn check(&self) -> Result<(), EnrolmentError> {
        split_url(&self.url).map(|_| ())
    }

    fn to_bytes(&self) -> Result<Vec<u8>, EnrolmentError> {
        let (is_tls, address) = split_url(&self.url)?;
        let tls_flag = if is_tls { FLAG_TLS } else { 0 };
        let pin_flag = if self.certificate_pin.is_some() { FLAG_PIN } else { 0 };
        let mut bytes = vec![tls_flag | pin_flag];
        bytes.extend(self.relay_key.as_bytes());
        bytes.extend(self.certificate_pin.iter().flatten());
        bytes.extend(self.token);
        bytes.extend(self.expires.as_millis().to_be_bytes());
        bytes.extend(address.as_bytes());
        bytes.extend(checksum(&bytes));
        Ok(bytes)
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, EnrolmentError> {
        let (payload, sum) = bytes.split_last_chunk::<CHECKSUM_LEN>().ok_or(EnrolmentError::Checksum)?;
        if checksum(payload) != *sum {
            return Err(EnrolmentError::Checksum);
        }
        let mut reader = Reader::new(payload);
        let flags = reader.u8()?;
        if flags & !(FLAG_TLS | FLAG_PIN) != 0 {
            return Err(EnrolmentError::Malformed);
        }
        let relay_key = DeviceId::from_bytes(reader.array()?);
        let certificate_pin = if flags & FLAG_PIN != 0 { Some(reader.array()?) } else { None };
        let token = reader.array()?;
        let expires = Timestamp::from_millis(reader.i64()?);
        let address = std::str::from_utf8(reader.rest()).map_err(|_| EnrolmentError::Address)?;
        let scheme = if flags & FLAG_TLS != 0 { "wss://" } else { "ws://" };
        let url = format!("{scheme}{address}");
        split_url(&url)?;
        Ok(Self { url, relay_key, certificate_pin, token, expires })
    }
}

/// Whether it is `wss`, and what follows the scheme.
fn split_url(url: &str) -> Result<(bool, &str), EnrolmentError> {
    let (is_tls, address) = match (url.strip_prefix("wss://"), url.strip_prefix("ws://")) {
        (Some(address), _) => (true, address),
        (None, Some(address)) => (false, address),
        (None, None) => return Err(EnrolmentError::Address),
    };
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic());
    if address.is_empty() || address.len() > ADDRESS_LEN_MAX || !is_plain {
        return Err(EnrolmentError::Address);
    }
    Ok((is_tls, address))
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_LEN] {
    let hash = blake3::derive_key(CHECKSUM_CONTEXT, payload);
    [hash[0], hash[1], hash[2], hash[3]]
}

/// Writes the code; fails on an address that [`EnrolmentCode::check`] refuses.
impl fmt::Display for EnrolmentCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        f.write_str(&to_base32(&self.to_bytes().map_err(|_| fmt::Error)?))
    }
}

impl FromStr for EnrolmentCode {
    type Err = EnrolmentError;

    /// Reads a code as people type it: in any case, with spaces and dashes anywhere, `O` for 0, `I` and `L` for 1.
    fn from_str(text: &str) -> Result<Self, EnrolmentError> {
        let bytes = read_code(PREFIX, text).map_err(|error| match error {
            CodeError::Prefix => EnrolmentError::Prefix,
            CodeError::Character { place } => EnrolmentError::Character { place },
            CodeError::Incomplete => EnrolmentError::Checksum,
        })?;
        Self::from_bytes(&bytes)
    }
}

/// Text does not hold the bytes of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeError {
    /// It begins like no code of this kind.
    Prefix,
    /// It holds a character that no code has; counted from 1, in the text as it was given.
    Character { place: usize },
    /// A character was lost.
    Incomplete,
}

/// Reads the bytes of a code as people type it: in any case, with spaces and hyphens anywhere, O for
/// 0, I and L for 1, Arabic digits.
pub(crate) fn read_code(prefix: &str, text: &str) -> Result<Vec<u8>, CodeError> {
    let mut folded = String::with_capacity(text.len());
    let mut places = Vec::with_capacity(text.len());
    for (index, character) in text.chars().enumerate() {
        if !is_passed_over(character) {
            folded.push(fold(character));
            places.push(index + 1);
        }
    }
    let prefix: String = prefix.chars().filter(|c| !is_passed_over(*c)).map(fold).collect();
    let digits = folded.strip_prefix(&prefix).ok_or(CodeError::Prefix)?;
    let values = digits.chars().zip(&places[prefix.len()..]).map(|(digit, place)| {
        let value = ALPHABET.iter().position(|known| char::from(*known) == digit);
        value.ok_or(CodeError::Character { place: *place })
    });
    from_base32(&values.collect::<Result<Vec<_>, _>>()?).ok_or(CodeError::Incomplete)
}

/// Spaces, hyphens and dashes, and the invisible marks that right-to-left text brings along.
fn is_passed_over(character: char) -> bool {
    character.is_whitespace()
        || matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{200b}'..='\u{200f}' | '\u{61c}')
        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn fold(character: char) -> char {
    match character.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        arabic @ '\u{660}'..='\u{669}' => char::from(b'0' + (arabic as u32 - 0x660) as u8),
        persian @ '\u{6f0}'..='\u{6f9}' => char::from(b'0' + (persian as u32 - 0x6f0) as u8),
        other => other,
    }
}

/// Bytes in Crockford's base 32, upper case, as people read them off a screen and type them.
pub fn to_base32(bytes: &[u8]) -> String {
    // Never grown: what is written may be a secret, and growing leaves a copy of it behind.
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut bits, mut held) = (0u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(char::from(ALPHABET[(bits >> held) as usize & 31]));
        }
    }
    if held > 0 {
        text.push(char::from(ALPHABET[(bits << (5 - held)) as usize & 31]));
    }
    text
}

/// Digits that make no whole byte, or bits left over that are not zero, are lost characters.
fn from_base32(digits: &[usize]) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for digit in digits {
        bits = bits << 5 | *digit as u32;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    if held >= 5 || bits & ((1 << held) - 1) != 0 { None } else { Some(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(url: &str, certificate_pin: Option<[u8; 32]>) -> EnrolmentCode {
        EnrolmentCode {
            url: url.to_owned(),
            relay_key: DeviceId::from_bytes([7; 32]),
            certificate_pin,
            token: [0xab; 16],
            expires: Timestamp::from_millis(1_790_000_000_000),
        }
    }

    #[test]
    fn a_code_reads_back_from_its_own_text() {
        for code in [
            code("ws://127.0.0.1:7600", None),
            code("wss://relay.example.org:443", Some([9; 32])),
            code("wss://[2001:db8::1]:7600/link", None),
        ] {
            let text = code.to_string();
            assert!(text.starts_with(PREFIX) && text.len() < 330, "{text}");
            assert!(text.bytes().all(|b| b == b'-' || b.is_ascii_uppercase() || b.is_ascii_digit()));
            assert_eq!(text.parse(), Ok(code));
        }
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = code("ws://127.0.0.1:7600", None);
        let text = code.to_string();
        let grouped: Vec<_> = text.as_bytes().chunks(4).map(|four| str::from_utf8(four).unwrap()).collect();
        for typed in [
            text.to_lowercase(),
            grouped.join(" - "),
            format!("\u{200f}\n{}\u{200e} ", grouped.join("\u{a0}")),
            text.replace('0', "o").replace('1', "l"),
            text.replace('0', "O").replace('1', "i"),
            text.replace('0', "٠").replace('7', "٧").replace('1', "۱"),
        ] {
            assert_eq!(typed.parse(), Ok(code.clone()), "{typed}");
        }
    }

    #[test]
    fn a_code_with_one_wrong_or_missing_character_is_refused() {
        let text = code("ws://127.0.0.1:7600", None).to_string();
        for at in PREFIX.len()..text.len() {
            let other = if &text[at..=at] == "7" { "8" } else { "7" };
            let mut wrong = text.clone();
            wrong.replace_range(at..=at, other);
            assert_eq!(wrong.parse::<EnrolmentCode>(), Err(EnrolmentError::Checksum), "place {at}");
            wrong.replace_range(at..=at, "");
            assert_eq!(wrong.parse::<EnrolmentCode>(), Err(EnrolmentError::Checksum), "without {at}");
        }
    }

    #[test]
    fn text_that_is_no_code_says_why() {
        for (text, expected) in [
            ("", EnrolmentError::Prefix),
            ("https://example.org", EnrolmentError::Prefix),
            ("BARID2-0000", EnrolmentError::Prefix),
            ("BARID1-00U0", EnrolmentError::Character { place: 10 }),
            ("BARID1-", EnrolmentError::Checksum),
            ("BARID1-0000", EnrolmentError::Checksum),
        ] {
            assert_eq!(text.parse::<EnrolmentCode>(), Err(expected), "{text}");
        }
    }

    #[test]
    fn an_address_that_is_no_relay_is_not_written() {
        for url in ["http://a", "ws://", "ws://a b", "wss://مركز", &format!("ws://{}", "a".repeat(201))] {
            assert_eq!(code(url, None).check(), Err(EnrolmentError::Address), "{url}");
        }
    }

    #[test]
    fn a_code_ends_and_does_not_show_its_token() {
        let code = code("ws://127.0.0.1:7600", None);
        assert!(!code.is_expired(code.expires.plus_millis(-1)) && code.is_expired(code.expires));
        assert!(!format!("{code:?}").contains("171"));
    }
}
