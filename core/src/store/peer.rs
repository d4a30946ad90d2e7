//! What a store holds of a space, chain by chain, for whoever compares it with what they hold.

use rusqlite::Connection;

use super::budget::Budgeted;
use super::error::StoreError;
use super::ingest::AHEAD;
use super::{Store, Writing, ancestry, outgoing, space};
use crate::batch::{Header, Lane, SealedBatch};
use crate::id::{BatchId, DeviceId, Incarnation, SpaceId};
use crate::position::Height;

/// A chain that is held, with its number.
struct HeldChain {
    id: i64,
    height: Height,
}

impl Store {
    /// How far the chains of a space stand here, whoever writes them.
    pub fn heights(&self, space: SpaceId) -> Result<Vec<Height>, StoreError> {
        self.inner.read(|connection| match space::number(connection, space)? {
            Some(space) => {
                Ok(chains(connection, space)?.into_iter().map(|chain| chain.height).collect::<Vec<_>>())
            }
            None => Ok(Vec::new()),
        })
    }

    /// Seals all that is pending in a space, for a peer or a bundle.
    pub fn seal_pending(&self, space: SpaceId) -> Result<(), StoreError> {
        let Some(identity) = self.inner.identity() else { return Ok(()) };
        let Some(number) = self.inner.read(|connection| space::number(connection, space))? else {
            return Ok(());
        };
        for lane in Lane::ALL {
            let is_left = |connection: &Connection| {
                Ok::<_, StoreError>(
                    outgoing::has_pending(connection, space, lane)?
                        || ancestry::has_owed(connection, number, lane)?,
                )
            };
            while self.inner.read(is_left)? {
                let sealed = self.inner.transaction(|writing: &mut Writing<'_>| {
                    writing.seal_next(identity, number, space, lane)
                })?;
                if sealed.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// What stands here and is beyond these heights: control batches first, and after those that stand the
    /// ones that came ahead of others, which count wherever they are; then the urgent lane, the normal one,
    /// the bulk; each chain in its order. Not more than the budget but for the first batch; the flag says
    /// that there is nothing else.
    ///
    /// Of a chain whose height names another batch than stands here everything is given: where the
    /// branches part is not known.
    pub fn batches_above(
        &self,
        space: SpaceId,
        heights: &[Height],
        control_only: bool,
        budget_len: usize,
    ) -> Result<(Vec<SealedBatch>, bool), StoreError> {
        self.inner.read(|connection| {
            let Some(number) = space::number(connection, space)? else { return Ok((Vec::new(), true)) };
            let mut taken = Budgeted::new(budget_len);
            let chains = chains(connection, number)?;
            let mut above = Vec::with_capacity(chains.len());
            for chain in chains {
                let from = above_height(connection, &chain, heights)?;
                above.push((chain, from));
            }
            for control in [true, false] {
                if control_only && !control {
                    break;
                }
                for lane in Lane::ALL {
                    for (chain, from) in above.iter().filter(|(chain, _)| chain.height.lane == lane) {
                        if !take_of(&mut taken, connection, chain.id, *from, control)? {
                            return Ok((taken.batches, false));
                        }
                    }
                }
                if control && !take_ahead(&mut taken, connection, number, heights)? {
                    return Ok((taken.batches, false));
                }
            }
            Ok((taken.batches, true))
        })
    }
}

/// Takes what is above a height of a chain; `false` if there is more than fits.
fn take_of(
    taken: &mut Budgeted,
    connection: &Connection,
    chain: i64,
    from: u64,
    control: bool,
) -> Result<bool, StoreError> {
    let sql = "SELECT bytes FROM batch
        WHERE chain = ?1 AND seq > ?2 AND control = ?3 AND state < 3 ORDER BY seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((chain, from as i64, control))?;
    while let Some(row) = rows.next()? {
        if !taken.take(read(row.get(0)?)?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Takes the control batches that lie ahead of what is held of their chains, and above these heights;
/// `false` if there is more than fits.
fn take_ahead(
    taken: &mut Budgeted,
    connection: &Connection,
    space: i64,
    heights: &[Height],
) -> Result<bool, StoreError> {
    let sql = "SELECT b.bytes FROM batch b INDEXED BY batch_waiting JOIN chain c ON c.id = b.chain
        WHERE b.state > 0 AND b.state = ?1 AND b.control = 1 AND c.space = ?2
        ORDER BY c.device, c.incarnation, c.lane, b.seq";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((AHEAD, space))?;
    while let Some(row) = rows.next()? {
        let batch = read(row.get(0)?)?;
        let Header { device, incarnation, lane, seq, .. } = *batch.header();
        let is_theirs = |there: &Height| {
            (there.device, there.incarnation, there.lane) == (device, incarnation, lane) && there.seq >= seq
        };
        if !heights.iter().any(is_theirs) && !taken.take(batch) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn read(bytes: Vec<u8>) -> Result<SealedBatch, StoreError> {
    SealedBatch::parse(bytes).map_err(|_| StoreError::Unreadable("a batch"))
}

/// From where on somebody at these heights lacks a chain.
fn above_height(connection: &Connection, chain: &HeldChain, heights: &[Height]) -> Result<u64, StoreError> {
    let is_same = |there: &&Height| {
        let here = &chain.height;
        (there.device, there.incarnation, there.lane) == (here.device, here.incarnation, here.lane)
    };
    let Some(there) = heights.iter().find(is_same) else { return Ok(0) };
    if there.seq > chain.height.seq {
        // They hold more of it, unless it is of a branch that does not stand here.
        let sql = "SELECT EXISTS (SELECT 1 FROM batch WHERE batch = ?1 AND chain = ?2 AND state IN (3, 4))";
        let values = (there.batch.as_bytes(), chain.id);
        let is_fallen = connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
        return Ok(if is_fallen { 0 } else { chain.height.seq });
    }
    let sql =
        "SELECT EXISTS (SELECT 1 FROM batch WHERE chain = ?1 AND seq = ?2 AND batch = ?3 AND state < 3)";
    let values = (chain.id, there.seq as i64, there.batch.as_bytes());
    let is_ours = connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    Ok(if is_ours { there.seq } else { 0 })
}

fn chains(connection: &Connection, space: i64) -> Result<Vec<HeldChain>, StoreError> {
    let sql = "SELECT id, device, incarnation, lane, height, head FROM chain
        WHERE space = ?1 AND height > 0 ORDER BY device, incarnation, lane";
    let mut statement = connection.prepare_cached(sql)?;
    let chains = statement.query_map([space], |row| {
        let lane = row.get::<_, u8>(3)?;
        let height = Height {
            device: DeviceId::from_bytes(row.get(1)?),
            incarnation: Incarnation::from_bytes(row.get(2)?),
            lane: Lane::from_u8(lane).ok_or(rusqlite::Error::IntegralValueOutOfRange(3, lane.into()))?,
            seq: row.get::<_, i64>(4)? as u64,
            batch: BatchId::from_bytes(row.get(5)?),
        };
        Ok(HeldChain { id: row.get(0)?, height })
    })?;
    Ok(chains.collect::<Result<_, _>>()?)
}
