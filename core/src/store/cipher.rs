//! The pages of an encrypted database, as SQLCipher 4 writes them, read without SQLite.
//!
//! A page is AES-256-CBC under the database's key, followed by its initialisation vector and an
//! HMAC-SHA512 over both and the page's number. The first page has the salt where a plain file has its
//! name. SQLite needs this from nobody; what looks at files that SQLite cannot open does.

#[cfg(feature = "sqlcipher")]
use aes::Aes256;
#[cfg(feature = "sqlcipher")]
use aes::cipher::{BlockCipherDecrypt, KeyInit};
#[cfg(feature = "sqlcipher")]
use ring::{hmac, pbkdf2};

use super::key::{DatabaseKey, KeyError};

/// Bytes of a page. Our stores have no other.
pub(super) const PAGE_LEN: usize = 4096;

/// Bytes at a page's end that are not SQLite's: the vector and the code.
pub(super) const RESERVED_LEN: usize = IV_LEN + CODE_LEN;

const IV_LEN: usize = 16;
const CODE_LEN: usize = 64;
const SALT_LEN: usize = 16;

/// Not the key, but known only from it: it lies open in the file's first bytes.
pub(super) fn salt(key: &DatabaseKey) -> [u8; SALT_LEN] {
    let mut salt = [0; SALT_LEN];
    let mut hasher = blake3::Hasher::new_derive_key("barid database salt v1");
    hasher.update(&**key).finalize_xof().fill(&mut salt);
    salt
}

/// Reads the pages of one key.
#[cfg(feature = "sqlcipher")]
pub(super) struct Cipher {
    aes: Aes256,
    code: hmac::Key,
}

/// Nothing is read without the feature `sqlcipher`.
#[cfg(not(feature = "sqlcipher"))]
pub(super) enum Cipher {}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

#[cfg(not(feature = "sqlcipher"))]
impl Cipher {
    pub(super) fn new(_: &DatabaseKey) -> Result<Self, KeyError> {
        Err(KeyError::Unsupported)
    }

    pub(super) fn is_by(&self, _: u32, _: &[u8]) -> bool {
        match *self {}
    }

    pub(super) fn decrypt(&self, _: u32, _: &mut [u8]) {
        match *self {}
    }
}

#[cfg(feature = "sqlcipher")]
impl Cipher {
    pub(super) fn new(key: &DatabaseKey) -> Result<Self, KeyError> {
        let salt = salt(key).map(|byte| byte ^ 0x3a);
        let mut code = DatabaseKey::new([0; 32]);
        let rounds = std::num::NonZeroU32::MIN.saturating_add(1);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA512, rounds, &salt, &**key, &mut *code);
        Ok(Self { aes: Aes256::new((&**key).into()), code: hmac::Key::new(hmac::HMAC_SHA512, &*code) })
    }

    /// Whether a page is whole and was written with this key.
    pub(super) fn is_by(&self, number: u32, page: &[u8]) -> bool {
        if page.len() != PAGE_LEN {
            return false;
        }
        let (coded, code) = page[begin(number)..].split_at(PAGE_LEN - begin(number) - CODE_LEN);
        let message = [coded, &number.to_le_bytes()].concat();
        hmac::verify(&self.code, &message, code).is_ok()
    }

    /// Turns a page into SQLite's, whether or not it is whole: what is damaged becomes noise, and the
    /// rest is what it was.
    pub(super) fn decrypt(&self, number: u32, page: &mut [u8]) {
        if page.len() != PAGE_LEN {
            return;
        }
        let (text, rest) = page.split_at_mut(PAGE_LEN - RESERVED_LEN);
        let mut before = [0; IV_LEN];
        before.copy_from_slice(&rest[..IV_LEN]);
        for block in text[begin(number)..].chunks_exact_mut(IV_LEN) {
            let mut opened = [0; IV_LEN];
            opened.copy_from_slice(block);
            let sealed = opened;
            self.aes.decrypt_block((&mut opened).into());
            block
                .iter_mut()
                .zip(opened)
                .zip(before)
                .for_each(|((byte, opened), before)| *byte = opened ^ before);
            before = sealed;
        }
        if number == 1 {
            text[..SALT_LEN].copy_from_slice(super::key::PLAIN_HEAD);
        }
    }
}

/// Where the encrypted part of a page begins.
#[cfg(feature = "sqlcipher")]
fn begin(number: u32) -> usize {
    if number == 1 { SALT_LEN } else { 0 }
}
