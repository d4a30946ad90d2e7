//! What is to be sent: sealed when it is wanted, and known to be there when it is acknowledged.
//!
//! A batch is committed, in one transaction with the removal of what was pending, before anybody
//! gets to see it. Sealing changes no row of a record.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::budget::Budgeted;
use super::chain::{self, ChainKey, ChainRow};
use super::error::StoreError;
use super::held::PENDING;
use super::observe::Changed;
use super::{Store, Writing, ancestry, row, space};
use crate::batch::{
    BODY_HEAD_LEN, BatchKind, BodyEntry, ChangeEntry, Entry, Lane, SealSpec, SealedBatch, seal,
};
use crate::id::{BatchId, DeviceId, Incarnation, RecordId, SpaceId};
use crate::identity::Identity;
use crate::limits::{BATCH_ENTRIES_MAX, BATCH_RAW_LEN_MAX};
use crate::model::TrackChunk;
use crate::position::{HEIGHT_STOPPED, Height, OwnChain};

/// Bytes of a body at which sealing stops, unless one write alone is more. Compressed this is about
/// three seconds of a 64 kbit/s link, which an SOS must not wait longer for.
pub(super) const SEALED_RAW_LEN: usize = 64 * 1024;

/// Bytes of sealed batches that are committed together, at most, but for the last: whoever records
/// something meanwhile waits for them.
const SEALED_TOGETHER_LEN: usize = 256 * 1024;

/// What is to be sent next, within a budget of bytes.
struct Wanted<'a> {
    sent: &'a [(SpaceId, Height)],
    taken: Budgeted,
}

impl Wanted<'_> {
    fn height_sent(&self, space: SpaceId, device: DeviceId, incarnation: Incarnation, lane: Lane) -> u64 {
        let is_chain = |(in_space, chain): &&(SpaceId, Height)| {
            *in_space == space
                && chain.device == device
                && chain.incarnation == incarnation
                && chain.lane == lane
        };
        self.sent.iter().filter(is_chain).map(|(_, chain)| chain.seq).max().unwrap_or(0)
    }
}

/// One row of what is pending.
pub(super) struct PendingRow {
    id: i64,
    group: i64,
    pub(super) kind: Option<String>,
    pub(super) record: RecordId,
    pub(super) body: Vec<u8>,
}

impl Store {
    /// What this device recorded and the relay does not hold, beyond the heights given as sent: the
    /// urgent lane first, and no more than the budget but for the first batch. In each lane what others
    /// wrote comes after it, in the spaces named as foreign. The flag says that there is nothing else.
    pub fn outgoing(
        &self,
        sent: &[(SpaceId, Height)],
        foreign: &[SpaceId],
        budget_len: usize,
    ) -> Result<(Vec<SealedBatch>, bool), StoreError> {
        let Some(identity) = self.inner.identity() else { return Ok((Vec::new(), true)) };
        let mut wanted = Wanted { sent, taken: Budgeted::new(budget_len) };
        let spaces = self.inner.read(space::all)?;
        for lane in Lane::ALL {
            if !self.inner.read(|connection| take_sealed(connection, identity, lane, &mut wanted))? {
                return Ok((wanted.taken.batches, false));
            }
            for (number, space) in &spaces {
                // Nothing of a chain that the relay has stopped need be sealed now.
                if wanted.height_sent(*space, identity.device(), self.inner.incarnation(), lane)
                    == HEIGHT_STOPPED
                {
                    continue;
                }
                let is_left = |connection: &Connection| {
                    Ok::<_, StoreError>(
                        has_pending(connection, *space, lane)?
                            || ancestry::has_owed(connection, *number, lane)?,
                    )
                };
                while self.inner.read(is_left)? {
                    if !wanted.taken.batches.is_empty() && wanted.taken.is_full() {
                        return Ok((wanted.taken.batches, false));
                    }
                    let room = wanted.taken.room();
                    let sealed = self
                        .inner
                        .transaction(|writing| writing.seal_some(identity, *number, *space, lane, room))?;
                    if sealed.is_empty() {
                        break;
                    }
                    for sealed in sealed {
                        // It is committed; if it does not fit it is sealed and leaves the next time.
                        if !wanted.taken.take(sealed) {
                            return Ok((wanted.taken.batches, false));
                        }
                    }
                }
            }
            for control in [true, false] {
                let take = |connection: &Connection| {
                    take_carried(connection, identity, (lane, control), foreign, &mut wanted)
                };
                if !self.inner.read(take)? {
                    return Ok((wanted.taken.batches, false));
                }
            }
        }
        Ok((wanted.taken.batches, true))
    }

    /// Notes that the relay holds these batches, and with each what comes before it in its chain. Others are
    /// passed over.
    pub fn acknowledge(&self, batches: &[BatchId]) -> Result<(), StoreError> {
        self.inner.transaction(|writing| {
            for batch in batches {
                let sql = "UPDATE batch SET acknowledged = 1 WHERE batch = ?1 AND acknowledged <> 1
                    RETURNING id, chain, seq, state < 3";
                let acknowledged: Option<(i64, i64, i64, bool)> = writing
                    .transaction
                    .prepare_cached(sql)?
                    .query_row([batch.as_bytes()], |row| {
                        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                    })
                    .optional()?;
                let Some((row, chain, seq, stands)) = acknowledged else { continue };
                writing.set_delivered(row)?;
                if stands {
                    writing.acknowledge_before(chain, seq)?;
                }
            }
            Ok(())
        })
    }

    /// Compares what the relay holds of this device's chains in a space with what is held here: what
    /// it lost, or never got, will be sent again, and what it has is acknowledged.
    pub fn relay_heights(&self, space: SpaceId, heights: &[OwnChain]) -> Result<(), StoreError> {
        let Some(identity) = self.inner.identity() else { return Ok(()) };
        self.inner.transaction(|writing| {
            let Some(number) = space::number(writing.transaction, space)? else { return Ok(()) };
            for (chain, incarnation, lane) in own_chains(writing.transaction, number, identity)? {
                let at_relay = heights.iter().find(|h| h.incarnation == incarnation && h.lane == lane);
                let is_this_file = incarnation == writing.inner.incarnation();
                writing.set_acknowledged_to(&chain, at_relay, is_this_file)?;
            }
            // A chain of this very file of which nothing at all is here any more.
            for height in heights.iter().filter(|h| h.incarnation == writing.inner.incarnation()) {
                let key = ChainKey {
                    device: identity.device(),
                    incarnation: height.incarnation,
                    space,
                    lane: height.lane,
                };
                if chain::find(writing.transaction, number, &key)?.is_none() {
                    return Err(StoreError::BehindRelay);
                }
            }
            Ok(())
        })
    }
}

/// Takes what is sealed and not acknowledged; `false` if there is more than fits. Chain after chain, so
/// that nothing is read or sorted but what is taken. What a peer brought of an own branch that does not
/// stand is not offered: the relay has another batch in its place, and whoever brought it brings it there.
fn take_sealed(
    connection: &Connection,
    identity: &Identity,
    lane: Lane,
    wanted: &mut Wanted<'_>,
) -> Result<bool, StoreError> {
    let chains = "SELECT c.id, s.space, c.incarnation FROM chain c JOIN space s ON s.id = c.space
        WHERE c.device = ?1 AND c.lane = ?2 AND NOT EXISTS (SELECT 1 FROM chain_elsewhere e WHERE e.chain = c.id)
        ORDER BY c.space, c.id";
    let batches = "SELECT bytes FROM batch WHERE chain = ?1 AND acknowledged = 0 AND seq > ?2 AND state < 3 ORDER BY seq";
    let mut chains = connection.prepare_cached(chains)?;
    let mut batches = connection.prepare_cached(batches)?;
    let mut chains = chains.query((identity.device().as_bytes(), lane as u8))?;
    while let Some(chain) = chains.next()? {
        let space = SpaceId::from_bytes(chain.get(1)?);
        let incarnation = Incarnation::from_bytes(chain.get(2)?);
        let height = wanted.height_sent(space, identity.device(), incarnation, lane);
        let mut rows = batches.query((chain.get::<_, i64>(0)?, height as i64))?;
        while let Some(row) = rows.next()? {
            let batch = SealedBatch::parse(row.get::<_, Vec<u8>>(0)?);
            if !wanted.taken.take(batch.map_err(|_| StoreError::Unreadable("a sealed batch"))?) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Takes what others wrote, came from a peer or a bundle, and is not known to be at the relay; `false`
/// if there is more than fits. What is in quarantine here is for the relay to judge itself.
fn take_carried(
    connection: &Connection,
    identity: &Identity,
    (lane, control): (Lane, bool),
    foreign: &[SpaceId],
    wanted: &mut Wanted<'_>,
) -> Result<bool, StoreError> {
    let chains = "SELECT id, device, incarnation FROM chain
        WHERE space = ?1 AND lane = ?2 AND device <> ?3 ORDER BY id";
    let batches = "SELECT bytes FROM batch INDEXED BY batch_unacknowledged
        WHERE chain = ?1 AND acknowledged = 0 AND seq > ?2 AND control = ?3 ORDER BY seq";
    let (mut chains, mut batches) = (connection.prepare_cached(chains)?, connection.prepare_cached(batches)?);
    for space in foreign {
        let Some(number) = space::number(connection, *space)? else { continue };
        let mut chains = chains.query((number, lane as u8, identity.device().as_bytes()))?;
        while let Some(chain) = chains.next()? {
            let (device, incarnation) =
                (DeviceId::from_bytes(chain.get(1)?), Incarnation::from_bytes(chain.get(2)?));
            let height = wanted.height_sent(*space, device, incarnation, lane);
            let mut rows = batches.query((chain.get::<_, i64>(0)?, height as i64, control))?;
            while let Some(row) = rows.next()? {
                let batch = SealedBatch::parse(row.get::<_, Vec<u8>>(0)?);
                if !wanted.taken.take(batch.map_err(|_| StoreError::Unreadable("a carried batch"))?) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

pub(super) fn has_pending(connection: &Connection, space: SpaceId, lane: Lane) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pending p WHERE p.space = ?1 AND p.lane = ?2
        AND NOT EXISTS (SELECT 1 FROM orphan o WHERE o.pending = p.id))";
    Ok(connection.prepare_cached(sql)?.query_row((space.as_bytes(), lane as u8), |row| row.get(0))?)
}

fn own_chains(
    transaction: &Transaction<'_>,
    space: i64,
    identity: &Identity,
) -> Result<Vec<(ChainRow, Incarnation, Lane)>, StoreError> {
    let sql =
        "SELECT id, height, head, incarnation, lane, branched FROM chain WHERE space = ?1 AND device = ?2";
    let mut statement = transaction.prepare_cached(sql)?;
    let mut rows = statement.query((space, identity.device().as_bytes()))?;
    let mut chains = Vec::new();
    while let Some(row) = rows.next()? {
        let chain = ChainRow {
            id: row.get(0)?,
            height: row.get::<_, i64>(1)? as u64,
            head: BatchId::from_bytes(row.get(2)?),
            branched: row.get(5)?,
        };
        let lane = Lane::from_u8(row.get(4)?).ok_or(StoreError::Unreadable("a chain's lane"))?;
        chains.push((chain, Incarnation::from_bytes(row.get(3)?), lane));
    }
    Ok(chains)
}

impl Writing<'_> {
    /// Seals pending entries of one lane, as many batches as there is room for and one at least.
    fn seal_some(
        &mut self,
        identity: &Identity,
        number: i64,
        space: SpaceId,
        lane: Lane,
        room: usize,
    ) -> Result<Vec<SealedBatch>, StoreError> {
        let (mut sealed, mut len) = (Vec::new(), 0);
        while sealed.is_empty() || len < room.min(SEALED_TOGETHER_LEN) {
            let Some(batch) = self.seal_next(identity, number, space, lane)? else { break };
            len += batch.as_bytes().len();
            sealed.push(batch);
        }
        Ok(sealed)
    }

    /// Seals the oldest pending entries of one lane into one batch; before them what they build on and
    /// nobody else may have. Writes stay whole.
    pub(super) fn seal_next(
        &mut self,
        identity: &Identity,
        number: i64,
        space: SpaceId,
        lane: Lane,
    ) -> Result<Option<SealedBatch>, StoreError> {
        let pending = self.next_pending(space, lane)?;
        self.owe_ancestors_of(identity, (number, space), lane, &pending)?;
        if ancestry::has_owed(self.transaction, number, lane)?
            && let Some(carried) = self.seal_owed(identity, number, space, lane)?
        {
            return Ok(Some(carried));
        }
        let Some(last) = pending.last().map(|row| row.id) else { return Ok(None) };
        let (batch, row, chain) = self.seal_in(identity, number, space, lane, &entries(&pending)?)?;
        for (index, pending) in (0..).zip(&pending) {
            self.move_entry(number, &chain, row, index, pending)?;
        }
        self.transaction
            .prepare_cached(
                "DELETE FROM pending WHERE space = ?1 AND lane = ?2 AND id <= ?3
                AND NOT EXISTS (SELECT 1 FROM orphan o WHERE o.pending = pending.id)",
            )?
            .execute((space.as_bytes(), lane as u8, last))?;
        Ok(Some(batch))
    }

    /// Seals entries as the next batch of this file's chain; gives it, its number, and the chain.
    pub(super) fn seal_in(
        &mut self,
        identity: &Identity,
        number: i64,
        space: SpaceId,
        lane: Lane,
        entries: &[Entry],
    ) -> Result<(SealedBatch, i64, ChainRow), StoreError> {
        let membership = self.inner.membership(space);
        let key = ChainKey { device: identity.device(), incarnation: self.inner.incarnation(), space, lane };
        let organisation = space::organisation_of(&membership, key.device);
        let chain = chain::find_or_insert(self.transaction, number, &key, organisation)?;
        let spec = SealSpec {
            key: identity,
            incarnation: key.incarnation,
            space,
            lane,
            seq: chain.height + 1,
            prev: chain.head,
            control_head: membership.control_head().unwrap_or(BatchId::from_bytes([0; 32])),
            kind: BatchKind::Entries,
            claimed_time: self.inner.now(),
            seed: self.inner.random(),
        };
        // What `write` let pass can be sealed.
        let batch = seal(spec, entries).map_err(|_| StoreError::Unreadable("a pending entry"))?;
        let row = self.insert_sealed(&batch, &chain)?;
        Ok((batch, row, chain))
    }

    /// The oldest pending rows of a lane, cut between writes where a batch is full enough.
    fn next_pending(&self, space: SpaceId, lane: Lane) -> Result<Vec<PendingRow>, StoreError> {
        let sql = "SELECT id, write_group, kind, record, body FROM pending p WHERE space = ?1 AND lane = ?2
            AND NOT EXISTS (SELECT 1 FROM orphan o WHERE o.pending = p.id) ORDER BY id LIMIT ?3";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let limit = BATCH_ENTRIES_MAX as i64 + 1;
        let mut rows = statement.query((space.as_bytes(), lane as u8, limit))?;
        let mut taken: Vec<PendingRow> = Vec::new();
        let mut len = BODY_HEAD_LEN;
        while let Some(row) = rows.next()? {
            let row = PendingRow {
                id: row.get(0)?,
                group: row.get(1)?,
                kind: row.get(2)?,
                record: RecordId::from_bytes(row.get(3)?),
                body: row.get(4)?,
            };
            len += Entry::len_in_body(20 + row.kind.as_ref().map_or(0, String::len) + row.body.len());
            let is_full = taken.len() == BATCH_ENTRIES_MAX || len > SEALED_RAW_LEN;
            // Where the row's own write began; at 0 that write fills the batch alone.
            let cut = taken.iter().position(|before| before.group == row.group).unwrap_or(taken.len());
            if is_full && cut > 0 {
                taken.truncate(cut);
                return Ok(taken);
            }
            // A write fits a batch, but one that was moved to another name may have grown.
            if !taken.is_empty() && (taken.len() == BATCH_ENTRIES_MAX || len > BATCH_RAW_LEN_MAX) {
                return Ok(taken);
            }
            taken.push(row);
        }
        Ok(taken)
    }

    fn insert_sealed(&self, batch: &SealedBatch, chain: &ChainRow) -> Result<i64, StoreError> {
        let header = batch.header();
        let sql =
            "INSERT INTO batch (batch, chain, seq, received_at, acknowledged, state, control, entries, bytes, prev)
            VALUES (?1, ?2, ?3, ?4, 0, 0, 0, ?5, ?6, ?7)";
        self.transaction.prepare_cached(sql)?.execute((
            batch.id().as_bytes(),
            chain.id,
            header.seq as i64,
            header.claimed_time.as_millis(),
            header.count,
            batch.as_bytes(),
            header.prev.as_bytes(),
        ))?;
        let row = self.transaction.last_insert_rowid();
        chain::set_height(self.transaction, chain.id, header.seq, batch.id())?;
        Ok(row)
    }

    /// The record now finds its change in the batch.
    fn move_entry(
        &self,
        space: i64,
        chain: &ChainRow,
        batch: i64,
        index: u32,
        pending: &PendingRow,
    ) -> Result<(), StoreError> {
        let Some(kind) = &pending.kind else {
            let sql = "UPDATE track_chunk SET batch = ?1 WHERE space = ?2 AND chain = ?3 AND chunk = ?4";
            let values = (batch, space, chain.id, pending.record.as_bytes());
            self.transaction.prepare_cached(sql)?.execute(values)?;
            return Ok(());
        };
        if let Some(record) = row::find_row(self.transaction, space, kind, pending.record)? {
            let sql = "UPDATE record_entry SET batch = ?1, entry = ?2
                WHERE record = ?3 AND chain = ?4 AND batch IS NULL AND entry = ?5";
            let moved = (batch, index, record, chain.id, pending.id);
            if self.transaction.prepare_cached(sql)?.execute(moved)? == 1 {
                return self.insert_undelivered(batch, record);
            }
        }
        // It is not part of its record: what it builds on is not.
        let sql = "UPDATE held_entry SET batch = ?1, entry = ?2
            WHERE space = ?3 AND kind = ?4 AND record = ?5 AND batch = ?6 AND entry = ?7";
        let moved = (batch, index, space, kind, pending.record.as_bytes(), PENDING, pending.id);
        match self.transaction.prepare_cached(sql)?.execute(moved)? {
            1 => Ok(()),
            _ => Err(StoreError::Unreadable("a pending change without its record")),
        }
    }

    fn insert_undelivered(&self, batch: i64, record: i64) -> Result<(), StoreError> {
        let sql = "INSERT INTO undelivered (batch, record) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.transaction.prepare_cached(sql)?.execute((batch, record))?;
        Ok(())
    }

    /// The relay holds a batch: its records may be delivered now, which observers want to show.
    pub(super) fn set_delivered(&mut self, batch: i64) -> Result<(), StoreError> {
        self.announce_undelivered(batch)?;
        self.transaction.prepare_cached("DELETE FROM undelivered WHERE batch = ?1")?.execute([batch])?;
        Ok(())
    }

    /// The relay's log has what stands before a batch that it took, or sent: perhaps from another, for its own
    /// push was harmed on its way, or answered on a link that was dead by then.
    pub(super) fn acknowledge_before(&mut self, chain: i64, seq: i64) -> Result<(), StoreError> {
        let sql = "UPDATE batch SET acknowledged = 1
            WHERE chain = ?1 AND seq < ?2 AND acknowledged = 0 AND state < 3 RETURNING id";
        let before: Vec<i64> = {
            let mut statement = self.transaction.prepare_cached(sql)?;
            let rows = statement.query_map((chain, seq), |row| row.get(0))?;
            rows.collect::<Result<_, _>>()?
        };
        before.into_iter().try_for_each(|batch| self.set_delivered(batch))
    }

    /// How far the records of an own batch have come is not what it was.
    pub(super) fn announce_undelivered(&mut self, batch: i64) -> Result<(), StoreError> {
        let sql = "SELECT s.space, r.kind, r.record FROM undelivered d JOIN record r ON r.id = d.record
            JOIN space s ON s.id = r.space WHERE d.batch = ?1";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let mut rows = statement.query([batch])?;
        while let Some(row) = rows.next()? {
            self.changed.push(Changed {
                space: SpaceId::from_bytes(row.get(0)?),
                kind: row.get(1)?,
                id: RecordId::from_bytes(row.get(2)?),
            });
        }
        Ok(())
    }

    /// Brings what is known to be at the relay in line with what it says.
    fn set_acknowledged_to(
        &mut self,
        chain: &ChainRow,
        at_relay: Option<&OwnChain>,
        is_this_file: bool,
    ) -> Result<(), StoreError> {
        let height = at_relay.map_or(0, |at_relay| at_relay.seq);
        if is_this_file {
            let stands = at_relay.map(|at_relay| self.batch_at(chain.id, at_relay.seq)).transpose()?;
            // The relay has what this file does not, or something else in its place.
            if stands.is_some_and(|stands| stands != at_relay.map(|at_relay| at_relay.batch)) {
                return Err(StoreError::BehindRelay);
            }
        } else if self.is_elsewhere(chain, at_relay)? {
            // What of it the relay has, its log will say.
            return Ok(());
        }
        let sql = "SELECT id, seq FROM batch WHERE chain = ?1 AND state < 3
            AND (acknowledged = (seq > ?2) OR (acknowledged = 2 AND seq <= ?2))";
        let differing: Vec<(i64, i64)> = {
            let mut statement = self.transaction.prepare_cached(sql)?;
            let rows =
                statement.query_map((chain.id, height as i64), |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        for (batch, seq) in differing {
            let is_held_there = seq as u64 <= height;
            self.transaction
                .prepare_cached("UPDATE batch SET acknowledged = ?2 WHERE id = ?1")?
                .execute((batch, is_held_there))?;
            if is_held_there {
                self.set_delivered(batch)?;
            } else {
                self.set_undelivered(batch)?;
            }
        }
        Ok(())
    }

    /// Whether the relay has something of an own chain that is not held here, and notes it.
    fn is_elsewhere(&self, chain: &ChainRow, at_relay: Option<&OwnChain>) -> Result<bool, StoreError> {
        let is_held = match at_relay {
            None => true,
            Some(at_relay) => self.batch_at(chain.id, at_relay.seq)? == Some(at_relay.batch),
        };
        let sql = if is_held {
            "DELETE FROM chain_elsewhere WHERE chain = ?1"
        } else {
            "INSERT INTO chain_elsewhere (chain) VALUES (?1) ON CONFLICT DO NOTHING"
        };
        self.transaction.prepare_cached(sql)?.execute([chain.id])?;
        Ok(!is_held)
    }

    pub(super) fn batch_at(&self, chain: i64, seq: u64) -> Result<Option<BatchId>, StoreError> {
        Ok(self
            .transaction
            .prepare_cached("SELECT batch FROM batch WHERE chain = ?1 AND seq = ?2 AND state < 3")?
            .query_row((chain, seq as i64), |row| row.get(0).map(BatchId::from_bytes))
            .optional()?)
    }

    /// The relay lost a batch: its records are not delivered any more.
    fn set_undelivered(&mut self, batch: i64) -> Result<(), StoreError> {
        let sql = "SELECT c.space, s.space FROM batch b JOIN chain c ON c.id = b.chain
            JOIN space s ON s.id = c.space WHERE b.id = ?1";
        let (space, space_id): (i64, [u8; 32]) =
            self.transaction.prepare_cached(sql)?.query_row([batch], |row| Ok((row.get(0)?, row.get(1)?)))?;
        for entry in &self.inner.body(self.transaction, batch)?.entries {
            let BodyEntry::Present { entry: Entry::Change(change), .. } = entry else { continue };
            if let Some(record) = row::find_row(self.transaction, space, &change.kind, change.record)? {
                self.insert_undelivered(batch, record)?;
                let (kind, id) = (change.kind.clone(), change.record);
                self.changed.push(Changed { space: SpaceId::from_bytes(space_id), kind, id });
            }
        }
        Ok(())
    }
}

/// What pending rows become in a batch.
fn entries(pending: &[PendingRow]) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::with_capacity(pending.len());
    for (index, row) in pending.iter().enumerate() {
        entries.push(match &row.kind {
            Some(kind) => Entry::Change(ChangeEntry {
                record: row.record,
                kind: kind.clone(),
                continues: pending.get(index + 1).is_some_and(|next| next.group == row.group),
                change: row.body.clone(),
            }),
            None => Entry::Track(
                TrackChunk::from_bytes(&row.body)
                    .map_err(|_| StoreError::Unreadable("a pending track chunk"))?,
            ),
        });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;
