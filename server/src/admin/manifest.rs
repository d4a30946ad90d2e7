//! What a backup holds, said in a file beside it: every other file with its length and hash.
//!
//! The manifest's own hash stands in a second file, in the form that `b3sum --check` reads. Both guard
//! against accidents. They do not say who made the backup: whoever can write it holds its keys.

use std::io;
use std::path::{Component, Path, PathBuf};

use barid_core::id::to_hex;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::copy::content_of;
use crate::data_dir::DataDir;

/// The version of the manifest that this program writes, and the only one that it reads.
pub const FORMAT: u32 = 1;
/// The manifest's name in a backup.
pub const FILE_NAME: &str = "manifest.json";
/// The name of the file with its hash.
pub const HASH_FILE_NAME: &str = "manifest.blake3";

/// A backup, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this description.
    pub format: u32,
    /// The version of the program that made the backup.
    pub program: String,
    /// When, in UTC.
    pub made_at: String,
    /// The relay's public key.
    pub relay: String,
    /// The id of the log that was copied. A restored relay has another.
    pub log: String,
    /// The versions of what is in the files.
    pub versions: Versions,
    /// How far the log goes.
    pub spaces: Vec<Head>,
    /// Every file but this and its hash.
    pub files: Vec<ListedFile>,
}

/// The versions of what is in a backup's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Of batches.
    pub batch: u8,
    /// Of the log's tables.
    pub log: i32,
    /// Of the tables of `relay.db`.
    pub relay: i32,
}

/// How far the log of one space goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The space.
    pub space: String,
    /// Its newest offset.
    pub head: u64,
    /// The batch there; none if the space is empty.
    pub batch: Option<String>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// Where, within the backup, with slashes.
    pub path: String,
    /// Bytes.
    pub len: u64,
    /// BLAKE3, in hexadecimal.
    pub blake3: String,
}

/// A manifest does not say what is there, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is none.
    #[error("{0} is no backup: it has no manifest.json")]
    Missing(PathBuf),
    /// It, or its hash, cannot be read.
    #[error("reading {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what was written.
    #[error("the backup's manifest is damaged: its hash is not the one in manifest.blake3")]
    Damaged,
    /// Another version of it.
    #[error("the backup's manifest is of version {0}, and this program reads version {FORMAT}")]
    UnknownFormat(u32),
    /// It has the right hash and is no manifest.
    #[error("the backup's manifest cannot be understood")]
    Malformed(#[source] serde_json::Error),
    /// It names a file outside the backup.
    #[error("the backup's manifest names a file outside the backup")]
    Outside,
    /// It leaves out a file without which there is no relay.
    #[error("the backup has no {0}")]
    Incomplete(&'static str),
    /// A file is not what was written.
    #[error("the backup is damaged: {0} is not as long, or has not the hash, that the manifest says")]
    Differs(String),
}

impl Manifest {
    /// Writes the manifest and its hash into a backup.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let line = format!("{}  {FILE_NAME}\n", blake3::hash(&text));
        DataDir::write_private(&folder.join(HASH_FILE_NAME), line.as_bytes())?;
        DataDir::write_private(&folder.join(FILE_NAME), &text)
    }

    /// Reads the manifest of a backup and compares it with its hash, and with nothing else.
    pub fn read(folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(FILE_NAME);
        if !path.exists() {
            return Err(ManifestError::Missing(folder.to_owned()));
        }
        let read =
            |path: PathBuf| std::fs::read(&path).map_err(|source| ManifestError::File { path, source });
        let text = read(path)?;
        let hash = read(folder.join(HASH_FILE_NAME))?;
        if !hash.starts_with(blake3::hash(&text).to_hex().as_bytes()) {
            return Err(ManifestError::Damaged);
        }
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(&text).map_err(ManifestError::Malformed)?;
        if format != FORMAT {
            return Err(ManifestError::UnknownFormat(format));
        }
        serde_json::from_slice(&text).map_err(ManifestError::Malformed)
    }

    /// Compares every file of a backup with what is said of it here.
    pub fn verify(&self, folder: &Path) -> Result<(), ManifestError> {
        for required in ["log.db", "relay.db", "relay.key"] {
            if !self.files.iter().any(|file| file.path == required) {
                return Err(ManifestError::Incomplete(required));
            }
        }
        for file in &self.files {
            let path = folder.join(file.relative()?);
            let content = match content_of(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(ManifestError::Differs(file.path.clone()));
                }
                other => other.map_err(|source| ManifestError::File { path, source })?,
            };
            if !file.is(content) {
                return Err(ManifestError::Differs(file.path.clone()));
            }
        }
        Ok(())
    }
}

impl ListedFile {
    /// The path, if it leads nowhere but into the backup.
    pub(super) fn relative(&self) -> Result<&Path, ManifestError> {
        let path = Path::new(&self.path);
        let is_inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        if is_inside && path.file_name().is_some() { Ok(path) } else { Err(ManifestError::Outside) }
    }

    pub(super) fn is(&self, content: super::copy::Content) -> bool {
        self.len == content.len && self.blake3 == content.hash.to_hex().as_str()
    }
}

/// How far the log in a database goes.
pub(super) fn heads(log: &Connection) -> rusqlite::Result<Vec<Head>> {
    let mut statement = log.prepare(
        "SELECT id, head, (SELECT batch.id FROM batch WHERE batch.space = space.number
             AND batch_offset = head) FROM space ORDER BY number",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Head {
            space: to_hex(&row.get::<_, [u8; 32]>(0)?),
            head: row.get::<_, i64>(1)?.unsigned_abs(),
            batch: row.get::<_, Option<[u8; 32]>>(2)?.map(|id| to_hex(&id)),
        })
    })?;
    rows.collect()
}
