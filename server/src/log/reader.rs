//! Reading the log's file: blocking, from any thread or process, beside the one that writes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use barid_core::batch::{Lane, SealedBatch};
use barid_core::clock::Timestamp;
use barid_core::id::{BatchId, DeviceId, Incarnation, LogDigest, LogId, SpaceId};
use barid_core::position::{OwnChain, QuarantineDigest};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params, params_from_iter};

use super::trail::{self, TrailEntry};
use super::{Excluding, LogError, LoggedBatch, Page, QuarantinedBatch, quarantine};

/// Connections kept for the next reader.
const IDLE_MAX: usize = 8;

/// Reads a log; holds connections for as many threads as read at once.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    id: LogId,
    idle: Mutex<Vec<Connection>>,
}

impl LogReader {
    /// Opens a log that exists.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let connection = connect(path)?;
        let id: Option<[u8; 16]> = meta(&connection, "log")?;
        let id = id.map(LogId::from_bytes).ok_or(LogError::NotCreated)?;
        Ok(Self { path: path.to_owned(), id, idle: Mutex::new(vec![connection]) })
    }

    /// The log's id.
    pub fn id(&self) -> LogId {
        self.id
    }

    /// Every space, with its newest offset.
    pub fn spaces(&self) -> Result<Vec<(SpaceId, u64)>, LogError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached("SELECT id, head FROM space ORDER BY number")?;
            let rows = statement.query_map([], |row| {
                Ok((SpaceId::from_bytes(row.get(0)?), row.get::<_, i64>(1)?.unsigned_abs()))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The newest offset of a space; 0 if it is empty or unknown.
    pub fn head(&self, space: SpaceId) -> Result<u64, LogError> {
        self.with(|connection| {
            let head: Option<i64> = connection
                .prepare_cached("SELECT head FROM space WHERE id = ?1")?
                .query_row([space.as_bytes()], |row| row.get(0))
                .optional()?;
            Ok(head.unwrap_or(0).unsigned_abs())
        })
    }

    /// As [`super::Log::read_after`].
    pub fn read_after(
        &self,
        space: SpaceId,
        after: u64,
        len_max: usize,
        excluding: Excluding,
    ) -> Result<Page, LogError> {
        self.with(|connection| {
            let (device, incarnation) =
                excluding.map_or((None, None), |(device, incarnation)| (Some(device), Some(incarnation)));
            let sql = "SELECT batch_offset, received_at, bytes, digest, b.chain, checksum
                FROM batch AS b JOIN chain AS c ON c.number = b.chain
                WHERE b.space = ?1 AND batch_offset > ?2 AND bytes IS NOT NULL
                    AND NOT (c.device IS ?3 AND c.incarnation IS ?4)
                    AND (c.damaged_from IS NULL OR b.seq < c.damaged_from)
                ORDER BY batch_offset";
            read_page(connection, space, after, len_max, sql, |number| {
                vec![
                    Value::Integer(number),
                    Value::Integer(to_sql(after)),
                    device.map_or(Value::Null, |device| Value::Blob(device.as_bytes().to_vec())),
                    incarnation.map_or(Value::Null, |file| Value::Blob(file.as_bytes().to_vec())),
                ]
            })
        })
    }

    /// As [`super::Log::read_control_after`].
    pub fn read_control_after(&self, space: SpaceId, after: u64, len_max: usize) -> Result<Page, LogError> {
        self.with(|connection| {
            let sql = "SELECT batch_offset, received_at, bytes, digest, chain, checksum FROM batch
                WHERE space = ?1 AND kind = 2 AND batch_offset > ?2 AND bytes IS NOT NULL
                ORDER BY batch_offset";
            read_page(connection, space, after, len_max, sql, |number| {
                vec![Value::Integer(number), Value::Integer(to_sql(after))]
            })
        })
    }

    /// As [`super::Log::read_control_ahead`].
    pub fn read_control_ahead(
        &self,
        space: SpaceId,
        position: u64,
        after: u64,
        len_max: usize,
    ) -> Result<Page, LogError> {
        self.with(|connection| {
            let sql = "SELECT batch_offset, received_at, bytes, digest, chain, checksum FROM batch
                WHERE space = ?1 AND kind = 2 AND bytes IS NOT NULL AND batch_offset >
                    (SELECT min(batch_offset) FROM batch
                     WHERE space = ?1 AND batch_offset > ?3 AND kind = 1 AND bytes IS NOT NULL)
                    AND batch_offset > ?2
                ORDER BY batch_offset";
            read_page(connection, space, after, len_max, sql, |number| {
                vec![Value::Integer(number), Value::Integer(to_sql(after)), Value::Integer(to_sql(position))]
            })
        })
    }

    /// Everything that is in quarantine in a space.
    pub fn quarantined(&self, space: SpaceId) -> Result<Vec<QuarantinedBatch>, LogError> {
        self.with(|connection| match space_row(connection, space)? {
            Some((number, _)) => quarantine::list(connection, number),
            None => Ok(Vec::new()),
        })
    }

    /// Which batches of a device are in quarantine in a space, the discarded ones too.
    pub fn quarantined_of(&self, space: SpaceId, device: DeviceId) -> Result<QuarantineDigest, LogError> {
        self.with(|connection| match space_row(connection, space)? {
            Some((number, _)) => quarantine::digest(connection, number, device),
            None => Ok(QuarantineDigest::default()),
        })
    }

    /// What the log is up to an offset, if there is a batch at it.
    pub fn digest_at(&self, space: SpaceId, offset: u64) -> Result<Option<LogDigest>, LogError> {
        self.with(|connection| match space_row(connection, space)? {
            Some((number, _)) => digest_at(connection, number, offset),
            None => Ok(None),
        })
    }

    /// When the batch at an offset became durable.
    pub fn received_at(&self, space: SpaceId, offset: u64) -> Result<Option<Timestamp>, LogError> {
        self.with(|connection| {
            let at: Option<i64> = connection
                .prepare_cached(
                    "SELECT received_at FROM batch JOIN space ON space.number = batch.space
                     WHERE space.id = ?1 AND batch_offset = ?2",
                )?
                .query_row(params![space.as_bytes(), to_sql(offset)], |row| row.get(0))
                .optional()?;
            Ok(at.map(Timestamp::from_millis))
        })
    }

    /// Every device that authored anything here, and when the last of it became durable.
    pub fn last_received(&self) -> Result<BTreeMap<DeviceId, Timestamp>, LogError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT device, max(received_at) FROM chain
                 JOIN batch ON batch.chain = chain.number AND batch.seq = chain.seq GROUP BY device",
            )?;
            let rows = statement.query_map([], |row| {
                Ok((DeviceId::from_bytes(row.get(0)?), Timestamp::from_millis(row.get(1)?)))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Bytes of the batches after an offset.
    pub fn bytes_after(&self, space: SpaceId, offset: u64) -> Result<u64, LogError> {
        self.with(|connection| {
            let len: Option<i64> = connection
                .prepare_cached(
                    "SELECT s.len - coalesce((SELECT b.cumulative_len FROM batch AS b
                                              WHERE b.space = s.number AND b.batch_offset = ?2), 0)
                     FROM space AS s WHERE s.id = ?1 AND s.head >= ?2",
                )?
                .query_row(params![space.as_bytes(), to_sql(offset)], |row| row.get(0))
                .optional()?;
            Ok(len.unwrap_or(0).unsigned_abs())
        })
    }

    /// The heights of a device's own chains in a space, of every incarnation.
    pub fn own_chains(&self, space: SpaceId, device: DeviceId) -> Result<Vec<OwnChain>, LogError> {
        self.with(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT incarnation, lane, b.seq, b.id FROM chain AS c JOIN space AS s ON s.number = c.space
                     JOIN batch AS b ON b.chain = c.number AND b.stands = 1
                         AND b.seq = min(c.seq, coalesce(c.damaged_from - 1, c.seq))
                 WHERE s.id = ?1 AND c.device = ?2",
            )?;
            let rows = statement.query_map(params![space.as_bytes(), device.as_bytes()], |row| {
                Ok((row.get(0)?, row.get::<_, u8>(1)?, row.get::<_, i64>(2)?, row.get(3)?))
            })?;
            let mut chains = Vec::new();
            for row in rows {
                let (incarnation, lane, seq, head) = row?;
                chains.push(OwnChain {
                    incarnation: Incarnation::from_bytes(incarnation),
                    lane: Lane::from_u8(lane).ok_or(LogError::Contradiction { offset: 0 })?,
                    seq: seq.unsigned_abs(),
                    batch: BatchId::from_bytes(head),
                });
            }
            chains.sort_unstable();
            Ok(chains)
        })
    }

    /// The audit trail, and the place of its first entry that is not as it was written, if any.
    pub fn trail(&self) -> Result<(Vec<TrailEntry>, Option<u64>), LogError> {
        self.with(|connection| Ok(trail::read(connection)?))
    }

    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, LogError>) -> Result<T, LogError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path)?,
        };
        let result = read(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        result
    }
}

fn connect(path: &Path) -> Result<Connection, LogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    Ok(connection)
}

/// Reads batches of a space until `len_max` bytes, one at least. The statement gives offset, time,
/// bytes, digest, chain and checksum.
fn read_page(
    connection: &Connection,
    space: SpaceId,
    after: u64,
    len_max: usize,
    sql: &str,
    parameters: impl Fn(i64) -> Vec<Value>,
) -> Result<Page, LogError> {
    // One snapshot for the batches and the head: else the cursor could pass a batch that was
    // committed between two reads.
    let snapshot = connection.unchecked_transaction()?;
    let Some((number, head)) = space_row(&snapshot, space)? else {
        return Ok(Page { batches: Vec::new(), reached: None, damaged: Vec::new() });
    };
    let mut statement = snapshot.prepare_cached(sql)?;
    let mut rows = statement.query(params_from_iter(parameters(number)))?;
    let mut page = Page { batches: Vec::new(), reached: None, damaged: Vec::new() };
    let mut damaged_chains = BTreeSet::new();
    let (mut len, mut reached) = (0, head);
    while let Some(row) = rows.next()? {
        let offset = row.get::<_, i64>(0)?.unsigned_abs();
        let bytes = row.get_ref(2)?.as_blob().map_err(|_| LogError::Contradiction { offset })?;
        if !page.batches.is_empty() && len + bytes.len() > len_max {
            reached = offset - 1;
            break;
        }
        let chain: i64 = row.get(4)?;
        if damaged_chains.contains(&chain) {
            continue;
        }
        let is_sound = row.get_ref(5)?.as_blob().is_ok_and(|stated| stated == checksum(bytes));
        // One batch that the disk has spoiled must not keep all others from their readers.
        let Some(batch) = is_sound.then(|| SealedBatch::parse(bytes.to_vec()).ok()).flatten() else {
            damaged_chains.insert(chain);
            page.damaged.push(offset);
            continue;
        };
        len += bytes.len();
        page.batches.push(LoggedBatch {
            offset,
            digest: LogDigest::from_bytes(row.get(3)?),
            received_at: Timestamp::from_millis(row.get(1)?),
            batch,
        });
    }
    if reached > after {
        let digest = digest_at(&snapshot, number, reached)?;
        page.reached = Some((reached, digest.ok_or(LogError::Contradiction { offset: reached })?));
    }
    Ok(page)
}

/// What stands beside a batch's bytes, so that spoiled ones are known.
pub(super) fn checksum(bytes: &[u8]) -> [u8; 8] {
    let mut checksum = [0; 8];
    checksum.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    checksum
}

/// A value of the table of facts about the log itself.
pub(super) fn meta<const N: usize>(connection: &Connection, key: &str) -> Result<Option<[u8; N]>, LogError> {
    Ok(connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?)
}

/// A space's number and newest offset.
fn space_row(connection: &Connection, space: SpaceId) -> Result<Option<(i64, u64)>, LogError> {
    Ok(connection
        .prepare_cached("SELECT number, head FROM space WHERE id = ?1")?
        .query_row([space.as_bytes()], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))
        .optional()?)
}

fn digest_at(connection: &Connection, number: i64, offset: u64) -> Result<Option<LogDigest>, LogError> {
    Ok(connection
        .prepare_cached("SELECT digest FROM batch WHERE space = ?1 AND batch_offset = ?2")?
        .query_row(params![number, to_sql(offset)], |row| row.get(0).map(LogDigest::from_bytes))
        .optional()?)
}

/// Offsets and sequence numbers fit: a peer's may be anything up to 64 bits, and then find nothing.
pub(super) fn to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
