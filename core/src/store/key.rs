//! The key of an encrypted database: given to every connection, and held against a file before
//! SQLite opens it.
//!
//! SQLite says the same of a wrong key as of a damaged file, and a damaged file is set aside. So the
//! pages are looked at first: if none of them is by this key, the key is wrong and nothing is
//! touched; if one is, whatever fails later is damage.
//!
//! The app's 32 bytes are the key itself: nothing is derived from a passphrase. The salt, from which
//! SQLCipher makes the key of its page checksums, follows from the key, so that a file whose first
//! bytes are lost can still be told from one of another key.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use zeroize::Zeroizing;

use super::cipher::{Cipher, salt};
use super::lock::{Completed, beside};
use super::recover::{looks_like_tree_page, read_at};

/// What a database is encrypted with. It is the app's to keep, in the platform's key store.
pub type DatabaseKey = Zeroizing<[u8; 32]>;

/// What every SQLite file that is not encrypted begins with.
pub(super) const PLAIN_HEAD: &[u8; 16] = b"SQLite format 3\0";

pub(super) use super::cipher::PAGE_LEN;

/// Pages looked at before a key is called wrong.
const PAGES_TRIED: u64 = 64;

/// A database is not opened with this key, or without one. It is untouched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A key was given to a build without the feature `sqlcipher`.
    #[error("this build cannot encrypt")]
    Unsupported,
    /// The file is encrypted, and no key was given.
    #[error("it is encrypted and no key was given")]
    Missing,
    /// The file is encrypted with another key.
    #[error("it is encrypted with another key")]
    Wrong,
    /// A key was given, and the file is not encrypted.
    #[error("it is not encrypted and a key was given")]
    NotEncrypted,
}

/// Opens a connection to a file. Every connection of a store is opened here, so that none is without
/// its key.
pub(super) fn connect(
    path: &Path,
    flags: OpenFlags,
    key: Option<&DatabaseKey>,
) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags)?;
    if let Some(key) = key {
        // Before anything else: the first page read decides what the file is taken for.
        connection.execute_batch(&pragma(key))?;
    }
    Ok(connection)
}

fn pragma(key: &DatabaseKey) -> Zeroizing<String> {
    let mut sql = Zeroizing::new(String::with_capacity(128));
    sql.push_str("PRAGMA key = \"x'");
    for byte in key.iter().chain(&salt(key)) {
        for digit in [byte >> 4, byte & 15] {
            sql.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
        }
    }
    sql.push_str("'\"");
    sql
}

/// Whether this build can do anything with a key.
pub(super) fn check_supported(key: Option<&DatabaseKey>) -> Result<(), KeyError> {
    key.map_or(Ok(()), |key| Cipher::new(key).map(drop))
}

/// Whether a file with something in it may be opened with this key, or without one.
pub(super) fn check(
    path: &Path,
    key: Option<&DatabaseKey>,
    completed: Completed,
) -> io::Result<Result<(), KeyError>> {
    let file = File::open(path)?;
    let mut head = [0; PLAIN_HEAD.len()];
    read_at(&file, 0, &mut head)?;
    let is_plain = &head == PLAIN_HEAD;
    Ok(match key {
        None if is_plain => Ok(()),
        None if completed == Completed::Encrypted => Err(KeyError::Missing),
        // A file that was plain here and is noise now was spoilt.
        None if completed == Completed::No && looks_encrypted(&file)? => Err(KeyError::Missing),
        None => Ok(()),
        Some(_) if is_plain => Err(KeyError::NotEncrypted),
        Some(key) => match Cipher::new(key) {
            Err(error) => Err(error),
            Ok(cipher) if is_of(&file, &cipher)? => Ok(()),
            // SQLite takes back what a first opening wrote that was cut off.
            Ok(_) if completed == Completed::No && has_journal(path) => Ok(()),
            Ok(_) => Err(KeyError::Wrong),
        },
    })
}

/// Whether some page of a file was encrypted with this key: the first, or if that is damaged some
/// others.
pub(super) fn is_of(file: &File, cipher: &Cipher) -> io::Result<bool> {
    let pages = file.metadata()?.len() / PAGE_LEN as u64;
    let step = pages.div_ceil(PAGES_TRIED).max(1) as usize;
    let mut page = vec![0; PAGE_LEN];
    for number in (1..=pages).step_by(step) {
        let read = read_at(file, (number - 1) * PAGE_LEN as u64, &mut page)?;
        if read == PAGE_LEN && u32::try_from(number).is_ok_and(|number| cipher.is_by(number, &page)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_journal(path: &Path) -> bool {
    fs::metadata(beside(path, "-journal")).is_ok_and(|journal| journal.len() > 0)
}

/// Whether a file is as even as only encryption makes it: whoever has no key must not call it damaged. The
/// first pages of a plain one are the roots of its tables, and most of them outlive what spoils some.
pub(super) fn looks_encrypted(file: &File) -> io::Result<bool> {
    let mut page = vec![0; PAGE_LEN];
    let (mut pages, mut even, mut plain) = (0, 0, 0);
    read_at(file, 0, &mut page)?;
    if page.starts_with(PLAIN_HEAD) {
        return Ok(false);
    }
    while pages < PAGES_TRIED && read_at(file, pages * PAGE_LEN as u64, &mut page)? == PAGE_LEN {
        pages += 1;
        if is_even(&page) {
            even += 1;
        } else if looks_like_tree_page(&page, 0) {
            plain += 1;
        }
    }
    // By chance, hardly ever one page of noise looks like SQLite's.
    Ok(2 * even > pages && plain < 2)
}

/// Of 4,096 random bytes, 16 have each value; one that comes 64 times is beyond chance.
fn is_even(page: &[u8]) -> bool {
    let mut counts = [0_u32; 256];
    for byte in page {
        counts[usize::from(*byte)] += 1;
    }
    counts.iter().all(|count| *count < 64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_key_becomes_a_raw_key_with_its_salt() {
        let sql = pragma(&Zeroizing::new([0xab; 32]));
        assert!(sql.starts_with(&format!("PRAGMA key = \"x'{}", "ab".repeat(32))));
        assert_eq!(sql.len(), "PRAGMA key = \"x''\"".len() + 2 * (32 + 16));
    }

    #[test]
    fn a_file_of_noise_looks_encrypted_and_a_store_does_not_though_half_of_it_is_noise() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("field.db");
        drop(crate::store::Store::open(crate::store::StoreConfig::replica(&path)).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        let mut noise = vec![0; bytes.len()];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let half = bytes.len() / 2 / PAGE_LEN * PAGE_LEN;
        bytes[..half].copy_from_slice(&noise[..half]);
        for (bytes, expected) in
            [(&bytes, false), (&noise, true), (&vec![0; half], false), (&Vec::new(), false)]
        {
            fs::write(&path, bytes).unwrap();
            assert_eq!(looks_encrypted(&File::open(&path).unwrap()).unwrap(), expected);
        }
    }
}
