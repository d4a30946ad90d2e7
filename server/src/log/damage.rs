//! Bytes that the disk has spoiled.
//!
//! One such batch must not keep all others from their readers, so it is left out, and with it what
//! follows in its chain, which nobody could take in without it. The chain's height says so to its
//! author, who sends it again.

use barid_core::batch::SealedBatch;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::LogError;
use super::reader::{checksum, to_sql};

/// The chain and the place in it of a batch whose bytes are spoiled, if those at this offset are.
pub(super) fn at(connection: &Connection, space: i64, offset: u64) -> Result<Option<(i64, u64)>, LogError> {
    let sql = "SELECT number, seq, bytes, checksum, chain FROM batch
        WHERE space = ?1 AND batch_offset = ?2 AND bytes IS NOT NULL AND stands = 1";
    let row = connection
        .prepare_cached(sql)?
        .query_row(params![space, to_sql(offset)], |row| Ok((Row::read(row)?, row.get(4)?)))
        .optional()?;
    Ok(row.and_then(|(row, chain): (Row, i64)| row.sound().is_none().then_some((chain, row.seq))))
}

/// One batch of the log.
pub(super) struct Row {
    pub(super) number: i64,
    pub(super) seq: u64,
    bytes: Vec<u8>,
    checksum: Option<[u8; 8]>,
}

impl Row {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let seq = row.get::<_, i64>(1)?.unsigned_abs();
        Ok(Self { number: row.get(0)?, seq, bytes: row.get(2)?, checksum: row.get(3)? })
    }

    /// The batch, unless its bytes are spoiled.
    pub(super) fn sound(&self) -> Option<SealedBatch> {
        let is_sound = self.checksum == Some(checksum(&self.bytes));
        is_sound.then(|| SealedBatch::parse(self.bytes.as_slice()).ok()).flatten()
    }
}

/// What stands of a chain from a place on.
pub(super) fn rows_from(connection: &Connection, chain: i64, seq: u64) -> Result<Vec<Row>, LogError> {
    let sql = "SELECT number, seq, bytes, checksum FROM batch
        WHERE chain = ?1 AND seq >= ?2 AND stands = 1 AND bytes IS NOT NULL ORDER BY seq";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![chain, to_sql(seq)], Row::read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes a row's bytes: they have another row now.
pub(super) fn empty(connection: &Connection, row: i64) -> Result<(), LogError> {
    let sql = "UPDATE batch SET stands = 0, bytes = NULL, checksum = NULL WHERE number = ?1";
    connection.prepare_cached(sql)?.execute([row])?;
    Ok(())
}

/// Notes from where on a chain is not served; it never moves on by itself.
pub(super) fn set_from(connection: &Connection, chain: i64, seq: Option<u64>) -> Result<(), LogError> {
    let sql = match seq {
        Some(_) => "UPDATE chain SET damaged_from = min(coalesce(damaged_from, ?2), ?2) WHERE number = ?1",
        None => "UPDATE chain SET damaged_from = ?2 WHERE number = ?1",
    };
    connection.prepare_cached(sql)?.execute(params![chain, seq.map(to_sql)])?;
    Ok(())
}
