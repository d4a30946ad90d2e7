//! What is held and does not stand, and how it is shown.

use rusqlite::Connection;

use super::error::StoreError;
use super::ingest::FORK;
use super::{Store, space};
use crate::batch::{Header, SealedBatch};
use crate::control::QuarantineReason;
use crate::id::{BatchId, DeviceId, SpaceId};
use crate::position::QuarantineDigest;

/// A batch in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarantined {
    /// The batch.
    pub batch: BatchId,
    /// Who wrote it.
    pub device: DeviceId,
    /// Its place in its chain.
    pub seq: u64,
    /// Why it does not stand.
    pub reason: QuarantineReason,
    /// How many entries it has.
    pub entries: u64,
}

impl Store {
    /// The batches of a space that are held and do not stand, chain by chain; without those that an
    /// administrator has discarded.
    pub fn quarantined(&self, space: SpaceId) -> Result<Vec<Quarantined>, StoreError> {
        let held = self.inner.read(|connection| match space::number(connection, space)? {
            Some(number) => quarantined(connection, number),
            None => Ok(Vec::new()),
        })?;
        let membership = self.membership(space)?;
        let is_open = |(header, _): &(Header, Quarantined)| {
            header.seq > membership.discarded(header.device, header.incarnation, header.lane)
        };
        Ok(held.into_iter().filter(is_open).map(|(_, held)| held).collect())
    }

    /// Notes that the relay has put a batch into quarantine: it has it, and nobody else gets it unless it
    /// is adopted.
    pub fn set_quarantined_there(&self, batch: BatchId) -> Result<(), StoreError> {
        self.inner.transaction(|writing| {
            let sql = "UPDATE batch SET acknowledged = 2 WHERE batch = ?1 AND acknowledged <> 2 RETURNING id";
            let mut statement = writing.transaction.prepare_cached(sql)?;
            let rows = statement.query_map([batch.as_bytes()], |row| row.get(0))?;
            let rows: Vec<i64> = rows.collect::<Result<_, _>>()?;
            rows.into_iter().try_for_each(|row| writing.announce_undelivered(row))
        })
    }
}

impl Store {
    /// The relay has something else in quarantine than what it was known to have: it was restored, an
    /// administrator has decided, or others brought more. What is not known to be in its log is offered
    /// again.
    pub fn forget_quarantined_there(&self, space: SpaceId) -> Result<(), StoreError> {
        self.inner.transaction(|writing| {
            let sql = "UPDATE batch SET acknowledged = 0 WHERE acknowledged = 2
                AND chain IN (SELECT c.id FROM chain c JOIN space s ON s.id = c.space WHERE s.space = ?1)";
            writing.transaction.execute(sql, [space.as_bytes()])?;
            Ok(())
        })
    }
}

/// Which batches of this device the relay is known to have in quarantine.
pub(super) fn own_quarantined_there(
    connection: &Connection,
    space: i64,
    device: DeviceId,
) -> Result<QuarantineDigest, StoreError> {
    let sql = "SELECT b.batch FROM batch b JOIN chain c ON c.id = b.chain
        WHERE b.acknowledged = 2 AND c.space = ?1 AND c.device = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let batches =
        statement.query_map((space, device.as_bytes()), |row| row.get(0).map(BatchId::from_bytes))?;
    Ok(QuarantineDigest::of(batches.collect::<Result<Vec<_>, _>>()?))
}

fn quarantined(connection: &Connection, space: i64) -> Result<Vec<(Header, Quarantined)>, StoreError> {
    let sql = "SELECT b.state, b.entries, b.bytes FROM batch b JOIN chain c ON c.id = b.chain
        WHERE c.space = ?1 AND c.branched = 1 AND b.state IN (3, 4) 
        ORDER BY c.device, c.incarnation, c.lane, b.seq, b.batch";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([space])?;
    let mut held = Vec::new();
    while let Some(row) = rows.next()? {
        let batch = SealedBatch::parse(row.get::<_, Vec<u8>>(2)?);
        let batch = batch.map_err(|_| StoreError::Unreadable("a batch in quarantine"))?;
        let Header { device, seq, .. } = *batch.header();
        let is_fork = row.get::<_, u8>(0)? == FORK;
        let reason = if is_fork { QuarantineReason::Fork } else { QuarantineReason::Revoked };
        let entries = row.get::<_, i64>(1)?.unsigned_abs();
        let shown = Quarantined { batch: batch.id(), device, seq, reason, entries };
        held.push((batch.header().clone(), shown));
    }
    Ok(held)
}
