//! Spaces: which were joined, how far their logs are held, who belongs to them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::chain::ChainKey;
use super::error::StoreError;
use super::quarantine::own_quarantined_there;
use super::{Inner, Store, Writing};
use crate::batch::{Lane, SealedBatch};
use crate::control::{Membership, Verdict};
use crate::id::{BatchId, DeviceId, Incarnation, LogDigest, LogId, SpaceId};
use crate::position::{Cursor, OwnChain, QuarantineDigest, SpacePosition};

/// How much a store holds, and how much of it is still to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records with a change of this device that the relay has not acknowledged.
    pub unsent_records: u64,
    /// Such changes and track chunks.
    pub unsent_changes: u64,
    /// Of those, changes and track chunks of an earlier incarnation of this file, and what builds on
    /// them: they are sent once it is known what of them the relay has.
    pub orphans: u64,
    /// Bytes that they take here; what is not sealed yet is counted uncompressed.
    pub unsent_bytes: u64,
    /// Records, the withdrawn ones too.
    pub records: u64,
    /// Batches and entries held that wait for others.
    pub waiting: u64,
    /// Batches and entries that were refused, each with its reason.
    pub refused: u64,
    /// Batches held that need a newer version of this program.
    pub unread: u64,
    /// Batches held at which this program died, again and again: the next version tries them.
    pub set_aside: u64,
    /// Batches held that do not stand, and own ones that the relay has in quarantine.
    pub quarantined: u64,
    /// Batches of others that no relay is known to hold, and that this device carries to one.
    pub carried: u64,
}

/// The number of a space, if it was joined.
pub(super) fn number(connection: &Connection, space: SpaceId) -> Result<Option<i64>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT id FROM space WHERE space = ?1")?
        .query_row([space.as_bytes()], |row| row.get(0))
        .optional()?)
}

/// Every space and its number, in the order joined.
pub(super) fn all(connection: &Connection) -> Result<Vec<(i64, SpaceId)>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, space FROM space ORDER BY id")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, SpaceId::from_bytes(row.get(1)?))))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whose device it is, as a chain's row has it.
pub(super) fn organisation_of(membership: &Membership, device: DeviceId) -> Option<[u8; 32]> {
    membership.device(device).map(|device| *device.organisation.as_bytes())
}

/// Notes whose devices the chains of a space are, now that more is known.
pub(super) fn set_organisations(
    transaction: &Transaction<'_>,
    space: i64,
    membership: &Membership,
) -> Result<(), StoreError> {
    let mut chains =
        transaction.prepare_cached("SELECT id, device, organisation FROM chain WHERE space = ?1")?;
    let mut update = transaction.prepare_cached("UPDATE chain SET organisation = ?2 WHERE id = ?1")?;
    let mut rows = chains.query([space])?;
    while let Some(row) = rows.next()? {
        let held: Option<[u8; 32]> = row.get(2)?;
        let now = organisation_of(membership, DeviceId::from_bytes(row.get(1)?));
        if held != now {
            update.execute((row.get::<_, i64>(0)?, now))?;
        }
    }
    Ok(())
}

/// Reads the control records held of every space.
pub(super) fn read_memberships(
    connection: &Connection,
) -> Result<BTreeMap<SpaceId, Arc<Membership>>, StoreError> {
    let spaces = all(connection)?;
    let read = |(number, space)| Ok((space, Arc::new(read_membership(connection, number, space)?)));
    spaces.into_iter().map(read).collect()
}

fn read_membership(connection: &Connection, number: i64, space: SpaceId) -> Result<Membership, StoreError> {
    let sql = "SELECT b.bytes FROM batch b INDEXED BY batch_control JOIN chain c ON c.id = b.chain
        WHERE b.control = 1 AND c.space = ?1 ORDER BY b.id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([number])?;
    let mut unapplied = Vec::new();
    while let Some(row) = rows.next()? {
        let batch = SealedBatch::parse(row.get::<_, Vec<u8>>(0)?);
        let opened = batch.and_then(|batch| batch.open().map(|body| (batch, body)));
        unapplied.push(opened.map_err(|_| StoreError::Unreadable("a control batch"))?);
    }
    let mut membership = Membership::new(space);
    // A batch may have waited for one that came later.
    loop {
        let before = unapplied.len();
        unapplied.retain(|(batch, body)| membership.apply_batch(batch, body) != Verdict::Accepted);
        if unapplied.len() == before {
            return Ok(membership);
        }
    }
}

fn read_cursor(row: &Row<'_>) -> rusqlite::Result<Option<Cursor>> {
    let (log, offset, digest) = (row.get(0)?, row.get::<_, Option<i64>>(1)?, row.get(2)?);
    Ok(match (log, offset, digest) {
        (Some(log), Some(offset), Some(digest)) => Some(Cursor {
            log: LogId::from_bytes(log),
            offset: offset as u64,
            digest: LogDigest::from_bytes(digest),
        }),
        _ => None,
    })
}

/// How far a space's log is held.
pub(super) fn cursor(connection: &Connection, space: i64) -> Result<Option<Cursor>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT cursor_log, cursor_offset, cursor_digest FROM space WHERE id = ?1")?
        .query_row([space], read_cursor)?)
}

/// Moves a space's cursor.
pub(super) fn set_cursor(
    transaction: &Transaction<'_>,
    space: i64,
    cursor: Option<Cursor>,
) -> Result<(), StoreError> {
    let sql = "UPDATE space SET cursor_log = ?2, cursor_offset = ?3, cursor_digest = ?4 WHERE id = ?1";
    transaction.prepare_cached(sql)?.execute((
        space,
        cursor.map(|cursor| *cursor.log.as_bytes()),
        cursor.map(|cursor| cursor.offset as i64),
        cursor.map(|cursor| *cursor.digest.as_bytes()),
    ))?;
    Ok(())
}

/// The chains of a device in a space, each up to where the relay holds all of it.
fn acknowledged_chains(
    connection: &Connection,
    space: i64,
    device: DeviceId,
) -> Result<Vec<OwnChain>, StoreError> {
    let sql =
        "SELECT c.incarnation, c.lane, b.seq, b.batch FROM chain c JOIN batch b ON b.chain = c.id AND b.state < 3 AND b.seq =
            coalesce((SELECT min(seq) FROM batch WHERE chain = c.id AND acknowledged <> 1 AND state < 3) - 1, c.height)
        WHERE c.space = ?1 AND c.device = ?2 ORDER BY c.id";
    let mut statement = connection.prepare_cached(sql)?;
    let chains = statement.query_map((space, device.as_bytes()), |row| {
        let lane = row.get::<_, u8>(1)?;
        Ok(OwnChain {
            incarnation: Incarnation::from_bytes(row.get(0)?),
            lane: Lane::from_u8(lane).ok_or(rusqlite::Error::IntegralValueOutOfRange(1, lane.into()))?,
            seq: row.get::<_, i64>(2)? as u64,
            batch: BatchId::from_bytes(row.get(3)?),
        })
    })?;
    Ok(chains.collect::<Result<_, _>>()?)
}

impl Store {
    /// Joins a space: records may be written in it, and its log is followed.
    pub fn join_space(&self, space: SpaceId) -> Result<(), StoreError> {
        self.inner.transaction(|writing| {
            let sql = "INSERT INTO space (space) VALUES (?1) ON CONFLICT DO NOTHING";
            writing.transaction.execute(sql, [space.as_bytes()])?;
            Ok(())
        })
    }

    /// Every space joined, in that order.
    pub fn spaces(&self) -> Result<Vec<SpaceId>, StoreError> {
        let spaces = self.inner.read(all)?;
        Ok(spaces.into_iter().map(|(_, space)| space).collect())
    }

    /// The space joined first, where an app records unless it says otherwise.
    pub fn default_space(&self) -> Result<Option<SpaceId>, StoreError> {
        Ok(self.spaces()?.first().copied())
    }

    /// Who belongs to a space, as far as its control records are held.
    pub fn membership(&self, space: SpaceId) -> Result<Membership, StoreError> {
        Ok(self.inner.current_membership(space)?.as_ref().clone())
    }

    /// How far a space's log is held.
    pub fn cursor(&self, space: SpaceId) -> Result<Option<Cursor>, StoreError> {
        self.inner.read(|connection| match number(connection, space)? {
            Some(space) => cursor(connection, space),
            None => Ok(None),
        })
    }

    /// Forgets how far a space's log is held, so that it is read from its beginning. What is held is
    /// kept, and skipped when it comes again. Until then it is not known what of others the log has, and
    /// what of this device it has in quarantine.
    pub fn reset_cursor(&self, space: SpaceId) -> Result<(), StoreError> {
        self.forget_attachments_there(space)?;
        self.inner.transaction(|writing| match number(writing.transaction, space)? {
            Some(space) => {
                set_cursor(writing.transaction, space, None)?;
                writing.forget_log(space)
            }
            None => Ok(()),
        })
    }

    /// Notes the offset that the newest backup of the relay's log covers.
    pub fn set_watermark(&self, space: SpaceId, offset: u64) -> Result<(), StoreError> {
        self.inner.transaction(|writing| {
            let sql = "UPDATE space SET watermark = ?2 WHERE space = ?1";
            writing.transaction.execute(sql, (space.as_bytes(), offset as i64))?;
            Ok(())
        })
    }

    /// The offset that the newest backup of the relay's log covers, as far as the relay has said.
    pub fn watermark(&self, space: SpaceId) -> Result<Option<u64>, StoreError> {
        self.inner.read(|connection| {
            let sql = "SELECT watermark FROM space WHERE space = ?1";
            let offset: Option<Option<i64>> =
                connection.prepare_cached(sql)?.query_row([space.as_bytes()], |row| row.get(0)).optional()?;
            Ok(offset.flatten().map(|offset| offset as u64))
        })
    }

    /// Where this store stands in every space, for the beginning of a link.
    pub fn positions(&self) -> Result<Vec<SpacePosition>, StoreError> {
        let device = self.device();
        self.inner.read(|connection| {
            let mut positions = Vec::new();
            for (number, space) in all(connection)? {
                let own = match device {
                    Some(device) => acknowledged_chains(connection, number, device)?,
                    None => Vec::new(),
                };
                positions.push(SpacePosition {
                    space,
                    cursor: cursor(connection, number)?,
                    own,
                    quarantined: match device {
                        Some(device) => own_quarantined_there(connection, number, device)?,
                        None => QuarantineDigest::default(),
                    },
                });
            }
            Ok(positions)
        })
    }

    /// Where the relay's log has a batch, if it is held and came from there.
    pub fn offset_of(&self, space: SpaceId, batch: BatchId) -> Result<Option<u64>, StoreError> {
        self.inner.read(|connection| {
            let sql = "SELECT b.log_offset FROM batch b JOIN chain c ON c.id = b.chain
                JOIN space s ON s.id = c.space WHERE b.batch = ?1 AND s.space = ?2";
            let offset: Option<Option<i64>> = connection
                .prepare_cached(sql)?
                .query_row((batch.as_bytes(), space.as_bytes()), |row| row.get(0))
                .optional()?;
            Ok(offset.flatten().map(|offset| offset as u64))
        })
    }

    /// Records with changes that the relay is not known to hold. Costs as much as is unsent, the first
    /// time after each commit.
    pub fn unsent_records(&self) -> Result<u64, StoreError> {
        let revision = self.inner.revision.load(Ordering::Acquire);
        let mut counted = self.inner.unsent.lock().unwrap_or_else(PoisonError::into_inner);
        // Beside another process that writes nobody here knows of its commits.
        if let Some(known) = counted.filter(|known| known.revision == revision && !self.inner.is_read_only) {
            return Ok(known.records);
        }
        let records = self.inner.read(count_unsent)?;
        *counted = Some(CountedUnsent { revision, records });
        Ok(records)
    }

    /// How much is held, and how much of it is still to be sent. Costs as much as is held.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        let sql = format!(
            "SELECT ({UNSENT_RECORDS}),
            (SELECT count(*) FROM pending) + (SELECT coalesce(sum(b.entries), 0) FROM {UNSENT_BATCHES}),
            (SELECT coalesce(sum(length(body)), 0) FROM pending)
                + (SELECT coalesce(sum(length(b.bytes)), 0) FROM {UNSENT_BATCHES}),
            (SELECT count(*) FROM record),
            (SELECT count(*) FROM held_entry WHERE state <> 1 AND state = 0)
                + (SELECT count(*) FROM batch WHERE state > 0 AND state = 1),
            (SELECT count(*) FROM refused_entry) + (SELECT count(*) FROM refused_batch)
                + (SELECT count(*) FROM held_entry WHERE state <> 1 AND state >= 10),
            (SELECT count(*) FROM unread) + (SELECT count(*) FROM batch WHERE state > 0 AND state = 2),
            (SELECT count(*) FROM batch WHERE state > 0 AND state IN (3, 4))
                + (SELECT count(*) FROM batch WHERE acknowledged = 2),
            (SELECT count(*) FROM batch b INDEXED BY batch_unacknowledged JOIN chain c ON c.id = b.chain
                WHERE b.acknowledged = 0 AND c.device IS NOT ?1),
            (SELECT count(*) FROM orphan), (SELECT count(*) FROM set_aside)"
        );
        let device = self.device().map(|device| *device.as_bytes());
        self.inner.read(|connection| {
            Ok(connection.prepare_cached(&sql)?.query_row([device], |row| {
                let count = |column| row.get::<_, i64>(column).map(|count| count as u64);
                Ok(Counts {
                    unsent_records: count(0)?,
                    unsent_changes: count(1)?,
                    unsent_bytes: count(2)?,
                    records: count(3)?,
                    waiting: count(4)?,
                    refused: count(5)?,
                    unread: count(6)?,
                    quarantined: count(7)?,
                    carried: count(8)?,
                    orphans: count(9)?,
                    set_aside: count(10)?,
                })
            })?)
        })
    }
}

/// How much was unsent at a revision, or a few later.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountedUnsent {
    revision: i64,
    records: u64,
}

fn count_unsent(connection: &Connection) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {UNSENT_RECORDS}"))?;
    Ok(statement.query_row([], |row| row.get::<_, i64>(0))?.unsigned_abs())
}

/// A record counts once, whether its changes are pending or sealed.
///
/// Nearly every pending row is its record's only one, so rows are counted, and then names where an id has
/// several: a third of what it costs to sort all of their names.
const UNSENT_RECORDS: &str = "(SELECT count(*) FROM pending WHERE kind IS NOT NULL)
    - (SELECT coalesce(sum((SELECT count(*) - count(DISTINCT hex(p.space) || p.kind)
            FROM pending p WHERE p.record = several.record AND p.kind IS NOT NULL)), 0)
        FROM (SELECT record FROM pending GROUP BY record HAVING count(*) > 1) several)
    + (SELECT count(*) FROM (SELECT DISTINCT d.record FROM undelivered d JOIN batch b ON b.id = d.batch
            WHERE b.acknowledged = 0) sealed
        JOIN record r ON r.id = sealed.record JOIN space s ON s.id = r.space
        WHERE NOT EXISTS (SELECT 1 FROM pending p
            WHERE p.record = r.record AND p.kind = r.kind AND p.space = s.space))";

/// What this device sealed and no relay is known to hold; `?1` is the device.
const UNSENT_BATCHES: &str = "batch b INDEXED BY batch_unacknowledged JOIN chain c ON c.id = b.chain
    WHERE b.acknowledged = 0 AND c.device = ?1 AND b.state < 3";

impl Writing<'_> {
    fn forget_log(&self, space: i64) -> Result<(), StoreError> {
        let device = self.inner.identity().map(|identity| *identity.device().as_bytes());
        let sql = "UPDATE batch SET log_offset = NULL, acknowledged = CASE
                WHEN acknowledged = 1 AND chain IN (SELECT id FROM chain WHERE device = ?2) THEN 1 ELSE 0 END
            WHERE chain IN (SELECT id FROM chain WHERE space = ?1)";
        self.transaction.execute(sql, (space, device))?;
        Ok(())
    }
}

/// The chains of a space, by number.
pub(super) fn chains(
    connection: &Connection,
    number: i64,
    space: SpaceId,
) -> Result<Vec<(i64, ChainKey)>, StoreError> {
    let sql = "SELECT id, device, incarnation, lane FROM chain WHERE space = ?1 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let chains = statement.query_map([number], |row| {
        let lane = row.get::<_, u8>(3)?;
        let key = ChainKey {
            device: DeviceId::from_bytes(row.get(1)?),
            incarnation: Incarnation::from_bytes(row.get(2)?),
            space,
            lane: Lane::from_u8(lane).ok_or(rusqlite::Error::IntegralValueOutOfRange(3, lane.into()))?,
        };
        Ok((row.get(0)?, key))
    })?;
    Ok(chains.collect::<Result<_, _>>()?)
}

impl Inner {
    /// Somebody else writes what a store opened to read only holds, so it looks again each time.
    fn current_membership(&self, space: SpaceId) -> Result<Arc<Membership>, StoreError> {
        if !self.is_read_only {
            return Ok(self.membership(space));
        }
        self.read(|connection| match number(connection, space)? {
            Some(number) => Ok(Arc::new(read_membership(connection, number, space)?)),
            None => Ok(Arc::new(Membership::new(space))),
        })
    }
}
