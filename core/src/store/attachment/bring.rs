//! Attachments of a database that is brought back into another place: their file lies beside the old one.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::super::Store;
use super::super::error::StoreError;
use super::super::key::{DatabaseKey, PLAIN_HEAD, connect};
use super::super::lock::beside;
use super::album::read_name;
use super::bytes::whole;
use crate::attachment::AttachmentName;

impl Store {
    /// Takes in every whole attachment that lies beside a database which is brought back into this store,
    /// to be offered to the relay again, which may have it. The old file stays. How many came; what is
    /// damaged there is left, and keeps no record from coming back.
    pub(in crate::store) fn bring_attachments(&self, database: &Path) -> Result<u64, StoreError> {
        let Some(path) = self.inner.album_path().and_then(|own| album_beside(database, &own)) else {
            return Ok(0);
        };
        match self.bring_from(&path) {
            Err(error) if error.is_damage() => {
                tracing::error!(error = &error as &dyn std::error::Error, "attachments were not all read");
                Ok(0)
            }
            done => done,
        }
    }

    fn bring_from(&self, path: &Path) -> Result<u64, StoreError> {
        let key = self.inner.config.key.as_ref().filter(|_| !is_plain(path));
        let old = open(path, key)?;
        let mut count = 0;
        for (id, name, is_thumbnail) in held(&old)? {
            let Some(bytes) = whole(&old, id, name.1)? else { continue };
            self.inner.with_album(|album| {
                album.keep(name, &bytes, is_thumbnail)?;
                album.settle_attached(name)
            })?;
            count += 1;
        }
        self.inner.attachments.changed();
        Ok(count)
    }
}

/// The attachments' file of a database, or of what it was called before it was set aside as damaged; none
/// if there is none, or if it is this store's own.
fn album_beside(database: &Path, own: &Path) -> Option<PathBuf> {
    let name = database.file_name()?.to_str()?;
    let before = name.split_once(".damaged-").map_or(name, |(before, _)| before);
    let path = beside(&database.with_file_name(before), "-attachments");
    let is_own = path.canonicalize().ok()? == own.canonicalize().unwrap_or_else(|_| own.to_owned());
    (!is_own).then_some(path)
}

fn is_plain(path: &Path) -> bool {
    let mut head = [0; PLAIN_HEAD.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok() && &head == PLAIN_HEAD
}

fn open(path: &Path, key: Option<&DatabaseKey>) -> Result<Connection, StoreError> {
    // Not read-only: what a program that was killed had not put into the file is put there first.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = connect(path, flags, key)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    Ok(connection)
}

/// What is there whole: its row, its name, whether it is a thumbnail.
fn held(old: &Connection) -> Result<Vec<(i64, AttachmentName, bool)>, StoreError> {
    let sql = "SELECT space, hash, id, is_thumbnail FROM attachment WHERE state IN (1, 2, 4) ORDER BY id";
    let mut statement = old.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok((row.get(2)?, read_name(row)?, row.get(3)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_file_beside_is_found_under_the_name_before_the_damage_and_ones_own_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("old.db-attachments"), b"x").unwrap();
        let own = at("new.db-attachments");
        assert_eq!(album_beside(&at("old.db"), &own), Some(at("old.db-attachments")));
        assert_eq!(album_beside(&at("old.db.damaged-3"), &own), Some(at("old.db-attachments")));
        assert_eq!(album_beside(&at("old.db.damaged-3"), &at("old.db-attachments")), None);
        assert_eq!(album_beside(&at("other.db"), &own), None);
    }
}
