//! The rows of chains, and who stands behind an Automerge actor.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::error::StoreError;
use crate::batch::Lane;
use crate::id::{ActorId, BatchId, ChainId, DeviceId, Incarnation, SpaceId};

/// A chain as its row has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChainRow {
    pub(super) id: i64,
    pub(super) height: u64,
    pub(super) head: BatchId,
    /// Batches of it are held that do not stand.
    pub(super) branched: bool,
}

/// Chains by actor, so that folding a record costs no query.
#[derive(Debug, Default)]
pub(super) struct ActorCache(HashMap<ActorId, i64>);

impl ActorCache {
    pub(super) fn chain(&mut self, connection: &Connection, actor: ActorId) -> Result<i64, StoreError> {
        if let Some(chain) = self.0.get(&actor) {
            return Ok(*chain);
        }
        let chain = connection
            .prepare_cached("SELECT id FROM chain WHERE actor = ?1")?
            .query_row([actor.as_bytes()], |row| row.get(0))
            .optional()?
            .ok_or(StoreError::Unreadable("a change of an unknown chain"))?;
        self.0.insert(actor, chain);
        Ok(chain)
    }
}

/// What names a chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChainKey {
    pub(super) device: DeviceId,
    pub(super) incarnation: Incarnation,
    pub(super) space: SpaceId,
    pub(super) lane: Lane,
}

impl ChainKey {
    pub(super) fn actor(&self) -> ActorId {
        ChainId::derive(self.device, self.incarnation, self.space, self.lane).actor()
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<ChainRow> {
    Ok(ChainRow {
        id: row.get(0)?,
        height: row.get::<_, i64>(1)? as u64,
        head: BatchId::from_bytes(row.get(2)?),
        branched: row.get(3)?,
    })
}

/// The chain's row, if anything of it is held.
pub(super) fn find(
    connection: &Connection,
    space: i64,
    key: &ChainKey,
) -> Result<Option<ChainRow>, StoreError> {
    let sql = "SELECT id, height, head, branched FROM chain
        WHERE space = ?1 AND device = ?2 AND incarnation = ?3 AND lane = ?4";
    let values = (space, key.device.as_bytes(), key.incarnation.as_bytes(), key.lane as u8);
    Ok(connection.prepare_cached(sql)?.query_row(values, read).optional()?)
}

/// The chain's row, made if there is none.
pub(super) fn find_or_insert(
    transaction: &Transaction<'_>,
    space: i64,
    key: &ChainKey,
    organisation: Option<[u8; 32]>,
) -> Result<ChainRow, StoreError> {
    if let Some(chain) = find(transaction, space, key)? {
        return Ok(chain);
    }
    let head = BatchId::from_bytes([0; 32]);
    let sql = "INSERT INTO chain (space, device, incarnation, lane, actor, height, head, organisation)
        VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?7)";
    transaction.prepare_cached(sql)?.execute((
        space,
        key.device.as_bytes(),
        key.incarnation.as_bytes(),
        key.lane as u8,
        key.actor().as_bytes(),
        head.as_bytes(),
        organisation,
    ))?;
    Ok(ChainRow { id: transaction.last_insert_rowid(), height: 0, head, branched: false })
}

/// Notes that the chain is held up to this batch.
pub(super) fn set_height(
    transaction: &Transaction<'_>,
    chain: i64,
    height: u64,
    head: BatchId,
) -> Result<(), StoreError> {
    transaction.prepare_cached("UPDATE chain SET height = ?2, head = ?3 WHERE id = ?1")?.execute((
        chain,
        height as i64,
        head.as_bytes(),
    ))?;
    Ok(())
}

/// Notes whether batches of the chain are held that do not stand.
pub(super) fn set_branched(
    transaction: &Transaction<'_>,
    chain: i64,
    branched: bool,
) -> Result<(), StoreError> {
    transaction.prepare_cached("UPDATE chain SET branched = ?2 WHERE id = ?1")?.execute((chain, branched))?;
    Ok(())
}
