//! `attachments.db`: who sent which attachment, which records name it, and what must not come back.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barid_core::clock::Timestamp;
use barid_core::id::{AttachmentHash, DeviceId, RecordId, SpaceId};
use barid_core::migration::{MigrationError, migrate};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::blob::BlobId;
use crate::data_dir::DataDir;

/// What leads from an empty file to the newest schema, step by step.
pub const SCHEMA_STEPS: &[&str] = &[include_str!("../../migrations/attachment_0001_first.sql")];

/// `attachments.db` cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenIndexError {
    /// The file cannot be created or reached.
    #[error("opening attachments.db")]
    File(#[source] std::io::Error),
    /// SQLite refuses it.
    #[error("opening attachments.db")]
    Database(#[from] rusqlite::Error),
    /// Written by a newer version, or a migration failed.
    #[error("bringing attachments.db to this version")]
    Migration(#[source] MigrationError),
}

/// A handle on `attachments.db`; clones share the connection. Every call is a short read or write.
#[derive(Debug, Clone)]
pub(super) struct Index(Arc<Mutex<Connection>>);

/// An attachment that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HeldRow {
    pub(super) blob: BlobId,
    pub(super) len: u64,
    pub(super) device: Option<DeviceId>,
}

/// A record that may name attachments.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordName<'a> {
    pub(super) space: SpaceId,
    pub(super) kind: &'a str,
    pub(super) record: RecordId,
}

impl Index {
    pub(super) fn open(path: &Path) -> Result<Self, OpenIndexError> {
        DataDir::touch_private(path).map_err(OpenIndexError::File)?;
        Self::prepare(Connection::open(path)?)
    }

    #[cfg(test)]
    pub(super) fn in_memory() -> Result<Self, OpenIndexError> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(mut connection: Connection) -> Result<Self, OpenIndexError> {
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What a power cut takes is found again from the files and from the views.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        migrate(&mut connection, SCHEMA_STEPS).map_err(OpenIndexError::Migration)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that is held.
    pub(super) fn held(&self) -> Result<Vec<HeldRow>, rusqlite::Error> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT space, hash, len, device FROM held")?;
        let rows = statement.query_map([], |row| {
            Ok(HeldRow {
                blob: blob(row.get(0)?, row.get(1)?),
                len: row.get::<_, i64>(2)?.unsigned_abs(),
                device: row.get::<_, Option<[u8; 32]>>(3)?.map(DeviceId::from_bytes),
            })
        })?;
        rows.collect()
    }

    /// An attachment is held now. Returns whether that is new.
    pub(super) fn add_held(&self, row: HeldRow, at: Timestamp) -> Result<bool, rusqlite::Error> {
        let (space, hash) = key(&row.blob);
        let sql = "INSERT INTO held (space, hash, len, device, received_at) VALUES (?1, ?2, ?3, ?4, ?5)
            ON CONFLICT DO NOTHING";
        let (len, device) = (signed(row.len), row.device.as_ref().map(DeviceId::as_bytes));
        let connection = self.lock();
        let added =
            connection.prepare_cached(sql)?.execute(params![space, hash, len, device, at.as_millis()])?;
        Ok(added > 0)
    }

    /// An attachment is held no more.
    pub(super) fn remove_held(&self, blob: BlobId) -> Result<(), rusqlite::Error> {
        let sql = "DELETE FROM held WHERE space = ?1 AND hash = ?2";
        self.lock().prepare_cached(sql)?.execute(key(&blob)).map(drop)
    }

    /// Whether an attachment must not be taken: only erased records named it.
    pub(super) fn is_erased(&self, blob: BlobId) -> Result<bool, rusqlite::Error> {
        let sql = "SELECT 1 FROM erased WHERE space = ?1 AND hash = ?2 AND NOT EXISTS
            (SELECT 1 FROM mention WHERE mention.space = ?1 AND mention.hash = ?2 AND is_current = 1)";
        let connection = self.lock();
        let found = connection.prepare_cached(sql)?.query_row(key(&blob), |_| Ok(())).optional()?;
        Ok(found.is_some())
    }

    /// What records of a space name and what is not held, from a hash on and around: at most `count_max`.
    pub(super) fn lacking(
        &self,
        space: SpaceId,
        from: AttachmentHash,
        count_max: usize,
    ) -> Result<Vec<AttachmentHash>, rusqlite::Error> {
        let mut found = self.lacking_between(space, from.as_bytes(), &[0xff; 32], count_max)?;
        if found.len() < count_max {
            for hash in self.lacking_between(space, &[0; 32], from.as_bytes(), count_max)? {
                if found.len() < count_max && !found.contains(&hash) {
                    found.push(hash);
                }
            }
        }
        Ok(found)
    }

    fn lacking_between(
        &self,
        space: SpaceId,
        from: &[u8; 32],
        to: &[u8; 32],
        count_max: usize,
    ) -> Result<Vec<AttachmentHash>, rusqlite::Error> {
        let sql = "SELECT DISTINCT hash FROM mention WHERE space = ?1 AND hash BETWEEN ?2 AND ?3
            AND is_current = 1 AND NOT EXISTS (SELECT 1 FROM held
                WHERE held.space = mention.space AND held.hash = mention.hash)
            ORDER BY hash LIMIT ?4";
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![space.as_bytes(), from, to, count_max as i64], |row| {
            row.get(0).map(hash_of)
        })?;
        rows.collect()
    }

    /// Which attachments each of these records names now; what they named before is still remembered.
    pub(super) fn note_mentions(
        &self,
        records: &[(RecordName<'_>, Vec<AttachmentHash>)],
    ) -> Result<(), rusqlite::Error> {
        let mut connection = self.lock();
        let transaction = connection.transaction()?;
        for (name, hashes) in records {
            forget_current(&transaction, name)?;
            let sql = "INSERT INTO mention (space, hash, kind, record, is_current) VALUES (?1, ?2, ?3, ?4, 1)
                ON CONFLICT DO UPDATE SET is_current = 1";
            let mut statement = transaction.prepare_cached(sql)?;
            for hash in hashes {
                let record = name.record.as_bytes();
                statement.execute(params![name.space.as_bytes(), hash.as_bytes(), name.kind, record])?;
            }
        }
        transaction.commit()
    }

    /// The records that name any attachment now.
    pub(super) fn naming(&self) -> Result<HashSet<RecordId>, rusqlite::Error> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT DISTINCT record FROM mention WHERE is_current = 1")?;
        let rows = statement.query_map([], |row| row.get(0).map(RecordId::from_bytes))?;
        rows.collect()
    }

    /// Which records name an attachment now: their kinds and ids.
    pub(super) fn mentioned_by(&self, blob: BlobId) -> Result<Vec<(String, RecordId)>, rusqlite::Error> {
        let sql = "SELECT kind, record FROM mention WHERE space = ?1 AND hash = ?2 AND is_current = 1";
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let rows =
            statement.query_map(key(&blob), |row| Ok((row.get(0)?, RecordId::from_bytes(row.get(1)?))))?;
        rows.collect()
    }

    /// A record is erased: returns what it alone named, which must not come back.
    pub(super) fn erase(&self, name: RecordName<'_>) -> Result<Vec<BlobId>, rusqlite::Error> {
        let space = name.space.as_bytes();
        let mut connection = self.lock();
        let of_record = "space = ?1 AND kind = ?2 AND record = ?3";
        let named: Vec<AttachmentHash> = connection
            .prepare_cached(&format!("SELECT hash FROM mention WHERE {of_record}"))?
            .query_map(params![space, name.kind, name.record.as_bytes()], |row| row.get(0).map(hash_of))?
            .collect::<Result<_, _>>()?;
        if named.is_empty() {
            return Ok(Vec::new());
        }
        let transaction = connection.transaction()?;
        transaction.prepare_cached(&format!("DELETE FROM mention WHERE {of_record}"))?.execute(params![
            space,
            name.kind,
            name.record.as_bytes()
        ])?;
        let mut alone = Vec::new();
        for hash in named {
            let sql = "INSERT INTO erased (space, hash) SELECT ?1, ?2 WHERE NOT EXISTS
                (SELECT 1 FROM mention WHERE space = ?1 AND hash = ?2) ON CONFLICT DO NOTHING";
            if transaction.prepare_cached(sql)?.execute(params![space, hash.as_bytes()])? > 0 {
                alone.push(BlobId { space: name.space, hash });
            }
        }
        transaction.commit()?;
        Ok(alone)
    }

    /// What must not come back and may still be held, as after a sudden end.
    pub(super) fn erased_and_held(&self) -> Result<Vec<BlobId>, rusqlite::Error> {
        let sql = "SELECT space, hash FROM erased WHERE EXISTS (SELECT 1 FROM held
                WHERE held.space = erased.space AND held.hash = erased.hash)
            AND NOT EXISTS (SELECT 1 FROM mention
                WHERE mention.space = erased.space AND mention.hash = erased.hash)";
        let connection = self.lock();
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([], |row| Ok(blob(row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }
}

fn forget_current(transaction: &Transaction<'_>, name: &RecordName<'_>) -> Result<(), rusqlite::Error> {
    let sql = "UPDATE mention SET is_current = 0 WHERE space = ?1 AND kind = ?2 AND record = ?3";
    let values = params![name.space.as_bytes(), name.kind, name.record.as_bytes()];
    transaction.prepare_cached(sql)?.execute(values).map(drop)
}

fn key(blob: &BlobId) -> (&[u8; 32], &[u8; 32]) {
    (blob.space.as_bytes(), blob.hash.as_bytes())
}

fn blob(space: [u8; 32], hash: [u8; 32]) -> BlobId {
    BlobId { space: SpaceId::from_bytes(space), hash: hash_of(hash) }
}

fn hash_of(bytes: [u8; 32]) -> AttachmentHash {
    AttachmentHash::from_bytes(bytes)
}

fn signed(len: u64) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SPACE: SpaceId = SpaceId::from_bytes([1; 32]);

    fn hash(n: u8) -> AttachmentHash {
        AttachmentHash::from_bytes([n; 32])
    }

    fn name(record: u8) -> RecordName<'static> {
        RecordName { space: SPACE, kind: "event", record: RecordId::from_bytes([record; 16]) }
    }

    fn hold(index: &Index, n: u8) {
        let row = HeldRow { blob: BlobId { space: SPACE, hash: hash(n) }, len: 5, device: None };
        index.add_held(row, Timestamp::from_millis(0)).unwrap();
    }

    #[test]
    fn what_records_name_and_nobody_sent_is_lacking() {
        let index = Index::in_memory().unwrap();
        index.note_mentions(&[(name(1), vec![hash(1), hash(2)]), (name(2), vec![hash(3)])]).unwrap();
        hold(&index, 2);
        assert_eq!(index.lacking(SPACE, hash(0), 64).unwrap(), [hash(1), hash(3)]);
        assert_eq!(index.lacking(SPACE, hash(2), 64).unwrap(), [hash(3), hash(1)]);
        assert_eq!(index.lacking(SPACE, hash(3), 1).unwrap(), [hash(3)]);
        assert_eq!(index.lacking(SPACE, hash(0), 1).unwrap(), [hash(1)]);
        assert_eq!(index.lacking(SpaceId::from_bytes([2; 32]), hash(0), 64).unwrap(), []);
        index.note_mentions(&[(name(1), vec![])]).unwrap();
        assert_eq!(index.lacking(SPACE, hash(0), 64).unwrap(), [hash(3)], "it was detached");
    }

    #[test]
    fn an_erased_record_takes_with_it_what_it_alone_named_ever() {
        let index = Index::in_memory().unwrap();
        index.note_mentions(&[(name(1), vec![hash(1), hash(2), hash(3)]), (name(2), vec![hash(3)])]).unwrap();
        index.note_mentions(&[(name(1), vec![hash(1), hash(3)])]).unwrap();
        (1..=3).for_each(|n| hold(&index, n));
        let gone = index.erase(name(1)).unwrap();
        assert_eq!(gone, [1, 2].map(|n| BlobId { space: SPACE, hash: hash(n) }));
        assert_eq!(index.erased_and_held().unwrap(), gone);
        assert!(index.is_erased(gone[0]).unwrap());
        assert!(!index.is_erased(BlobId { space: SPACE, hash: hash(3) }).unwrap());
        gone.iter().for_each(|blob| index.remove_held(*blob).unwrap());
        assert_eq!(index.erased_and_held().unwrap(), []);
        assert_eq!(index.erase(name(1)).unwrap(), []);
        // Another record names it after all.
        index.note_mentions(&[(name(4), vec![hash(1)])]).unwrap();
        assert!(!index.is_erased(gone[0]).unwrap());
    }
}
