//! Secret keys in files: one line of text, readable by its owner alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barid_core::id::{from_hex, to_hex};
use barid_core::identity::Identity;
use zeroize::Zeroizing;

use crate::data_dir::DataDir;

/// What the line begins with: whoever finds such a file knows what it is.
const PREFIX: &str = "barid-secret-key-1 ";

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read or written.
    #[error("reaching the key file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{0} holds no secret key")]
    Malformed(PathBuf),
}

/// Writes a key, whole or not at all.
pub fn save(path: &Path, identity: &Identity) -> Result<(), KeyError> {
    let line = Zeroizing::new(format!("{PREFIX}{}\n", to_hex(&identity.seed()[..])));
    DataDir::write_private(path, line.as_bytes())
        .map_err(|source| KeyError::File { path: path.to_owned(), source })
}

/// Reads a key.
pub fn load(path: &Path) -> Result<Identity, KeyError> {
    let text = fs::read_to_string(path).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
    let text = Zeroizing::new(text);
    let seed = text.trim().strip_prefix(PREFIX).and_then(from_hex);
    seed.map(Identity::from_seed).ok_or_else(|| KeyError::Malformed(path.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_what_is_no_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("relay.key");
        let identity = Identity::generate();
        save(&path, &identity).unwrap();
        assert_eq!(load(&path).unwrap().device(), identity.device());
        fs::write(&path, "barid-secret-key-1 12").unwrap();
        assert!(matches!(load(&path), Err(KeyError::Malformed(_))));
        assert!(matches!(load(&dir.path().join("none")), Err(KeyError::File { .. })));
    }
}
