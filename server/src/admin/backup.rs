//! `barid backup`: a copy of a relay that can be restored, made while the relay runs.
//!
//! Everything is written into a folder beside the one that was named, and that folder is renamed when
//! it is complete and on disk: under its name there is a whole backup or none. The views are not
//! copied; they are rebuilt.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use barid_core::batch;
use barid_core::clock::{Timestamp, system_clock};
use barid_core::id::to_hex;
use rusqlite::Connection;

use super::copy::{CopyError, content_of, copy_database, copy_file};
use super::manifest::{FORMAT, ListedFile, Manifest, Versions, heads};
use crate::blob::Blobs as _;
use crate::blob::file::FileBlobs;
use crate::data_dir::{DataDir, sync_dir};
use crate::keys::{self, KeyError};
use crate::log::writer::LogWriter;

/// No backup was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no relay here.
    #[error("there is no relay in {0}")]
    NotInitialised(PathBuf),
    /// A backup is never written over anything.
    #[error("{0} is there already; name a folder that is not")]
    Exists(PathBuf),
    /// A folder or a file cannot be read or written.
    #[error("writing {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A database cannot be copied.
    #[error("copying {file}")]
    Database {
        /// Which.
        file: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A copy of damage is no backup.
    #[error("{0} is damaged: see `barid check`")]
    Damaged(&'static str),
    /// The relay's key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Makes a backup of the relay in a data directory, whether it runs or not, in a folder that is not
/// there yet.
pub fn backup(data: &DataDir, to: &Path, now: Timestamp) -> Result<Manifest, BackupError> {
    if !data.is_initialised() {
        return Err(BackupError::NotInitialised(data.root().to_owned()));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let unfinished =
        PathBuf::from(format!("{}.unfinished-{}", to.display(), to_hex(&crate::secret::random::<4>())));
    let at = |path: &Path, result: io::Result<()>| {
        result.map_err(|source| BackupError::File { path: path.to_owned(), source })
    };
    let made = make(data, &unfinished, now).and_then(|manifest| {
        at(to, fs::rename(&unfinished, to))?;
        at(to, sync_dir(parent(to)))?;
        set_watermark(data, &manifest);
        Ok(manifest)
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&unfinished);
    }
    made
}

/// Lets the relay say to devices how far a backup has its log. The backup is good without it.
fn set_watermark(data: &DataDir, manifest: &Manifest) {
    let noted = LogWriter::open(&data.log_db(), system_clock()).and_then(|mut log| {
        log.transact(|append| {
            for space in &manifest.spaces {
                if let Ok(id) = space.space.parse() {
                    append.set_watermark(id, space.head)?;
                }
            }
            Ok(())
        })
    });
    if let Err(error) = noted {
        tracing::warn!(error = &error as &dyn std::error::Error, "devices will not hear of the backup");
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn make(data: &DataDir, folder: &Path, now: Timestamp) -> Result<Manifest, BackupError> {
    let mut copying = Copying { folder, files: Vec::new() };
    copying.create_dir(folder)?;
    // The log first: an organisation's key is written before the log names it, so no organisation
    // of this copy lacks its key.
    let ((log, heads), log_version) = copying.database(&data.log_db(), "log.db", |log| {
        let id: [u8; 16] = log.query_row("SELECT value FROM meta WHERE key = 'log'", [], |row| row.get(0))?;
        Ok((id, heads(log)?))
    })?;
    let ((), relay_version) = copying.database(&data.relay_db(), "relay.db", |_| Ok(()))?;
    // Attachments after the log: a device lets go of its own once the backup's log is beyond where they
    // were acknowledged, and what was acknowledged up to there is among those listed here.
    if data.attachments_db().exists() {
        copying.database(&data.attachments_db(), "attachments.db", |_| Ok(()))?;
    }
    copying.attachments(&FileBlobs::new(data.attachments()))?;
    copying.files_of(&data.organisations(), "organisations")?;
    copying.files_of(&data.tls(), "tls")?;
    if data.config_file().exists() {
        copying.file(&data.config_file(), crate::config::FILE_NAME)?;
    }
    let relay = keys::load(&data.relay_key())?.device();
    copying.file(&data.relay_key(), "relay.key")?;
    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: jiff::Timestamp::from_millisecond(now.as_millis()).unwrap_or_default().to_string(),
        relay: relay.to_string(),
        log: to_hex(&log),
        versions: Versions { batch: batch::VERSION, log: log_version, relay: relay_version },
        spaces: heads,
        files: copying.files,
    };
    manifest.write(folder).map_err(|source| BackupError::File { path: folder.to_owned(), source })?;
    Ok(manifest)
}

/// A backup while it is made.
struct Copying<'a> {
    folder: &'a Path,
    files: Vec<ListedFile>,
}

impl Copying<'_> {
    fn create_dir(&self, path: &Path) -> Result<(), BackupError> {
        DataDir::create_private_dir(path)
            .map_err(|source| BackupError::File { path: path.to_owned(), source })
    }

    /// Copies a database, looks whether the copy is sound, and reads from it; also says its version.
    fn database<T>(
        &mut self,
        from: &Path,
        name: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<(T, i32), BackupError> {
        let to = self.folder.join(name);
        let in_database = |source| BackupError::Database { file: name, source };
        let copy = copy_database(from, &to).map_err(|error| match error {
            CopyError::File(source) => BackupError::File { path: to.clone(), source },
            CopyError::Database(source) => in_database(source),
        })?;
        let verdict: String =
            copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(in_database)?;
        if verdict != "ok" {
            return Err(BackupError::Damaged(name));
        }
        let version = copy.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(in_database)?;
        let value = read(&copy).map_err(in_database)?;
        copy.close().map_err(|(_, source)| in_database(source))?;
        let content = content_of(&to).map_err(|source| BackupError::File { path: to, source })?;
        self.list(name.to_owned(), content);
        Ok((value, version))
    }

    /// Copies what lies in a directory, without its directories.
    fn files_of(&mut self, from: &Path, name: &str) -> Result<(), BackupError> {
        let at = |source| BackupError::File { path: from.to_owned(), source };
        let entries = match fs::read_dir(from) {
            // Its keys may all be elsewhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(at)?,
        };
        let directory = self.folder.join(name);
        self.create_dir(&directory)?;
        for entry in entries {
            let path = entry.map_err(at)?.path();
            if let Some(file) = path.file_name().and_then(|file| file.to_str())
                && path.is_file()
            {
                self.file(&path, &format!("{name}/{file}"))?;
            }
        }
        sync_dir(&directory).map_err(at)
    }

    /// Copies every attachment that is held whole, but for what the disk has spoiled.
    fn attachments(&mut self, blobs: &FileBlobs) -> Result<(), BackupError> {
        let at = |path: &Path, source| BackupError::File { path: path.to_owned(), source };
        let held = blobs.list().map_err(|error| at(Path::new("attachments"), io::Error::other(error)))?;
        let mut directories = BTreeSet::new();
        for (blob, _) in held {
            let hash = blob.hash.to_string();
            let directory = Path::new("attachments").join(blob.space.to_string()).join(&hash[..2]);
            let (from, to) = (blobs.path(blob), self.folder.join(&directory).join(&hash));
            for directory in directory.ancestors().filter(|ancestor| !ancestor.as_os_str().is_empty()) {
                if directories.insert(directory.to_owned()) {
                    self.create_dir(&self.folder.join(directory))?;
                }
            }
            let content = match copy_file(&from, &to) {
                // Erased meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !from.exists() => {
                    fs::remove_file(&to).map_err(|source| at(&to, source))?;
                    continue;
                }
                content => content.map_err(|source| at(&from, source))?,
            };
            if content.hash.as_bytes() != blob.hash.as_bytes() {
                tracing::error!(%hash, "an attachment is damaged and left out: see `barid check`");
                fs::remove_file(&to).map_err(|source| at(&to, source))?;
                continue;
            }
            self.list(format!("attachments/{}/{}/{hash}", blob.space, &hash[..2]), content);
        }
        for directory in directories {
            let directory = self.folder.join(directory);
            sync_dir(&directory).map_err(|source| at(&directory, source))?;
        }
        Ok(())
    }

    fn file(&mut self, from: &Path, name: &str) -> Result<(), BackupError> {
        let content = copy_file(from, &self.folder.join(name))
            .map_err(|source| BackupError::File { path: from.to_owned(), source })?;
        self.list(name.to_owned(), content);
        Ok(())
    }

    fn list(&mut self, path: String, content: super::copy::Content) {
        self.files.push(ListedFile { path, len: content.len, blake3: content.hash.to_hex().to_string() });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
