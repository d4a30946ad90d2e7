//! What was taken and is not in the log.
//!
//! Stored as durably as the log itself, because its sender is told so; served to nobody, and in no
//! height. An administrator decides: what is adopted is appended, what is discarded loses its bytes
//! and keeps its id, so that it is not asked for again.

use std::collections::BTreeMap;

use barid_core::batch::{Lane, SealedBatch};
use barid_core::clock::Timestamp;
use barid_core::control::branch::{self, Link};
use barid_core::control::{Bound, QuarantineReason};
use barid_core::id::{BatchId, DeviceId, Incarnation};
use barid_core::position::QuarantineDigest;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::chain::{ChainRow, link};
use super::reader::to_sql;
use super::{LogError, QuarantinedBatch, verify};

/// How much one device may have in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineLimits {
    /// Batches, all spaces together.
    pub batches_max: u64,
    /// Their bytes.
    pub len_max: u64,
}

impl Default for QuarantineLimits {
    fn default() -> Self {
        Self { batches_max: 4_096, len_max: 64 * 1024 * 1024 }
    }
}

/// The batches of a chain that are in quarantine and were not discarded.
pub(super) fn links(connection: &Connection, chain: i64) -> Result<Vec<Link>, LogError> {
    let sql = "SELECT id, seq, prev FROM quarantine WHERE chain = ?1 AND bytes IS NOT NULL ORDER BY seq, id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([chain], link)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn has_any(connection: &Connection, chain: i64) -> Result<bool, LogError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM quarantine WHERE chain = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([chain], |row| row.get(0))?)
}

/// Why a batch is in quarantine, if it is.
pub(super) fn reason(connection: &Connection, batch: BatchId) -> Result<Option<QuarantineReason>, LogError> {
    let sql = "SELECT reason FROM quarantine WHERE id = ?1";
    let reason: Option<u8> =
        connection.prepare_cached(sql)?.query_row([batch.as_bytes()], |row| row.get(0)).optional()?;
    reason.map(reason_of).transpose()
}

fn reason_of(code: u8) -> Result<QuarantineReason, LogError> {
    QuarantineReason::from_code(code).ok_or(LogError::Contradiction { offset: 0 })
}

/// Whether a device may have so much more in quarantine.
pub(super) fn has_room(
    connection: &Connection,
    device: DeviceId,
    len: usize,
    limits: QuarantineLimits,
) -> Result<bool, LogError> {
    let sql = "SELECT count(*), coalesce(sum(q.len), 0) FROM chain AS c CROSS JOIN quarantine AS q
        ON q.chain = c.number WHERE c.device = ?1 AND q.bytes IS NOT NULL";
    let (batches, bytes): (i64, i64) = connection
        .prepare_cached(sql)?
        .query_row([device.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let fits = bytes.unsigned_abs().saturating_add(len as u64) <= limits.len_max;
    Ok(fits && batches.unsigned_abs() < limits.batches_max)
}

/// Puts a batch into quarantine; without its bytes if it was discarded before it came.
pub(super) fn put(
    connection: &Connection,
    chain: &ChainRow,
    batch: &SealedBatch,
    reason: QuarantineReason,
    now: i64,
    is_discarded: bool,
) -> Result<(), LogError> {
    let header = batch.header();
    let sql = "INSERT INTO quarantine (id, chain, seq, prev, reason, received_at, len, bytes)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let bytes = (!is_discarded).then(|| batch.as_bytes());
    connection.prepare_cached(sql)?.execute(params![
        batch.id().as_bytes(),
        chain.number,
        to_sql(header.seq),
        header.prev.as_bytes(),
        reason.code(),
        now,
        batch.as_bytes().len() as i64,
        bytes
    ])?;
    Ok(())
}

/// Moves a batch of the log into quarantine; its row there is empty then.
pub(super) fn take_from_log(connection: &Connection, row: i64, bound: &Bound) -> Result<(), LogError> {
    let seq: i64 = connection
        .prepare_cached("SELECT seq FROM batch WHERE number = ?1")?
        .query_row([row], |row| row.get(0))?;
    let reason = branch::reason(seq.unsigned_abs(), bound);
    let sql = "INSERT INTO quarantine (id, chain, seq, prev, reason, received_at, len, bytes)
        SELECT id, chain, seq, prev, ?2, received_at, length(bytes), bytes FROM batch WHERE number = ?1";
    connection.prepare_cached(sql)?.execute(params![row, reason.code()])?;
    let sql = "UPDATE batch SET stands = 0, bytes = NULL, checksum = NULL WHERE number = ?1";
    connection.prepare_cached(sql)?.execute([row])?;
    Ok(())
}

/// Drops those of these batches whose bytes are not what was signed; whether there were any.
pub(super) fn drop_spoiled(
    connection: &Connection,
    batches: impl Iterator<Item = BatchId>,
) -> Result<bool, LogError> {
    let mut has_dropped = false;
    for batch in batches {
        let sql = "SELECT bytes FROM quarantine WHERE id = ?1";
        let bytes: Vec<u8> =
            connection.prepare_cached(sql)?.query_row([batch.as_bytes()], |row| row.get(0))?;
        if let Err(error) = SealedBatch::parse(bytes).and_then(verify) {
            tracing::error!(%batch, %error, "the disk has spoiled a batch in quarantine");
            connection.execute("DELETE FROM quarantine WHERE id = ?1", [batch.as_bytes()])?;
            has_dropped = true;
        }
    }
    Ok(has_dropped)
}

/// Takes a batch out of quarantine.
pub(super) fn take_out(connection: &Connection, batch: BatchId) -> Result<SealedBatch, LogError> {
    let sql = "DELETE FROM quarantine WHERE id = ?1 RETURNING bytes";
    let bytes: Vec<u8> = connection.prepare_cached(sql)?.query_row([batch.as_bytes()], |row| row.get(0))?;
    SealedBatch::parse(bytes).map_err(|source| LogError::Damaged { offset: 0, source })
}

/// Brings what is left of a chain in quarantine in line with its bound and with what was discarded.
pub(super) fn settle(
    connection: &Connection,
    chain: i64,
    bound: &Bound,
    discarded: u64,
) -> Result<(), LogError> {
    for link in links(connection, chain)? {
        let reason = branch::reason(link.seq, bound);
        let is_discarded = reason == QuarantineReason::Revoked && link.seq <= discarded;
        let sql = "UPDATE quarantine SET reason = ?2, bytes = iif(?3, NULL, bytes) WHERE id = ?1";
        connection.prepare_cached(sql)?.execute(params![link.id.as_bytes(), reason.code(), is_discarded])?;
    }
    // Adopted after it was discarded: it is to be sent again.
    connection
        .prepare_cached("DELETE FROM quarantine WHERE chain = ?1 AND bytes IS NULL AND seq <= ?2")?
        .execute(params![chain, to_sql(bound.seq())])?;
    Ok(())
}

/// How many batches of each device were in the log until another branch of their chain displaced them.
pub(super) fn displaced(connection: &Connection, space: i64) -> Result<BTreeMap<DeviceId, u64>, LogError> {
    let sql = "SELECT c.device, count(*) FROM quarantine AS q CROSS JOIN chain AS c ON c.number = q.chain
        WHERE q.reason = ?2 AND c.space = ?1
            AND EXISTS (SELECT 1 FROM batch AS b WHERE b.chain = q.chain AND b.seq = q.seq AND b.id = q.id)
        GROUP BY c.device";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![space, QuarantineReason::Fork.code()], |row| {
        Ok((DeviceId::from_bytes(row.get(0)?), row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Everything that is in quarantine in a space, a chain after the other.
pub(super) fn list(connection: &Connection, space: i64) -> Result<Vec<QuarantinedBatch>, LogError> {
    let sql = "SELECT q.id, c.device, c.incarnation, c.lane, q.seq, q.reason, q.received_at, q.len, q.bytes
        FROM chain AS c JOIN quarantine AS q ON q.chain = c.number WHERE c.space = ?1
        ORDER BY c.device, c.number, q.seq, q.id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([space])?;
    let mut batches = Vec::new();
    while let Some(row) = rows.next()? {
        let bytes: Option<Vec<u8>> = row.get(8)?;
        batches.push(QuarantinedBatch {
            id: BatchId::from_bytes(row.get(0)?),
            device: DeviceId::from_bytes(row.get(1)?),
            incarnation: Incarnation::from_bytes(row.get(2)?),
            lane: Lane::from_u8(row.get(3)?).ok_or(LogError::Contradiction { offset: 0 })?,
            seq: row.get::<_, i64>(4)?.unsigned_abs(),
            reason: reason_of(row.get(5)?)?,
            received_at: Timestamp::from_millis(row.get(6)?),
            len: row.get::<_, i64>(7)?.unsigned_abs(),
            batch: bytes.and_then(|bytes| SealedBatch::parse(bytes).ok()),
        });
    }
    Ok(batches)
}

/// Which batches of a device are in quarantine in a space, the discarded ones too.
pub(super) fn digest(
    connection: &Connection,
    space: i64,
    device: DeviceId,
) -> Result<QuarantineDigest, LogError> {
    let sql = "SELECT q.id FROM chain AS c CROSS JOIN quarantine AS q ON q.chain = c.number
        WHERE c.device = ?2 AND c.space = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let batches =
        statement.query_map(params![space, device.as_bytes()], |row| row.get(0).map(BatchId::from_bytes))?;
    Ok(QuarantineDigest::of(batches.collect::<Result<Vec<_>, _>>()?))
}
