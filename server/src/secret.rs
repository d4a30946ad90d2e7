//! Random secrets and how they are written: never in `Debug`, traces or error text.

use std::fmt;

use barid_core::enrolment::to_base32;
use zeroize::Zeroize;

/// Text that only its owner may read. Wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// 256 random bits in hexadecimal: safe in a cookie and in a link.
    pub fn random_token() -> Self {
        Self(barid_core::id::to_hex(&random::<32>()))
    }

    /// A password of a hundred random bits that can be read out and typed.
    pub fn random_password() -> Self {
        let mut text = to_base32(&random::<13>());
        text.truncate(20);
        Self(in_groups(&text, 5).to_lowercase())
    }

    /// A recovery key: 256 random bits, to be kept on paper.
    pub fn random_recovery_key() -> Self {
        Self(in_groups(&to_base32(&random::<32>()), 4))
    }

    /// What is stored of a random token, so that a stolen database opens nothing.
    pub fn token_hash(&self) -> [u8; 32] {
        blake3::derive_key("barid 2026 token", self.0.as_bytes())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Random bytes from the operating system; without them no secret may be made at all.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

fn in_groups(text: &str, len: usize) -> String {
    let groups: Vec<_> = text.as_bytes().chunks(len).map(String::from_utf8_lossy).collect();
    groups.join("-")
}

/// A typed recovery key as it was printed: case, spaces, hyphens and look-alike letters do not
/// matter.
pub(crate) fn normalise_recovery_key(typed: &str) -> Secret {
    let text: String = typed
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect();
    Secret(in_groups(&text, 4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_32_is_crockfords() {
        assert_eq!(to_base32(b"\x00"), "00");
        assert_eq!(to_base32(b"\xff\xff\xff\xff\xff"), "ZZZZZZZZ");
        assert_eq!(to_base32(b"hello"), "D1JPRV3F");
        assert_eq!(to_base32(&[0xff; 32]).len(), 52);
    }

    #[test]
    fn a_recovery_key_is_found_however_it_was_typed() {
        let key = Secret::random_recovery_key();
        let typed = key.reveal().replace('-', " ").replace('0', "o").replace('1', "l").to_lowercase();
        assert_eq!(normalise_recovery_key(&typed), key);
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert_eq!(format!("{:?}", Secret::new("abc")), "Secret(…)");
        assert_ne!(Secret::random_token(), Secret::random_token());
        assert_eq!(Secret::random_password().reveal().len(), 23);
    }
}
