//! Chains in the log: their rows, and which of their batches stand.
//!
//! What stands is decided by `barid_core::control::branch` alone. Here the rows are brought in line
//! with it: a batch that falls leaves an empty row and goes into quarantine, one that comes to stand
//! is appended at a new offset, for readers have passed the old one.

use barid_core::batch::{BatchKind, Header, Lane};
use barid_core::control::Bound;
use barid_core::control::branch::{self, Link};
use barid_core::id::{BatchId, ChainId, DeviceId, Incarnation};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::reader::to_sql;
use super::{LogError, quarantine};

/// No batch: what the first of a chain names as the one before it.
pub(super) const NOTHING: BatchId = BatchId::from_bytes([0; 32]);

/// One chain, as far as its own row says.
#[derive(Debug, Clone)]
pub(super) struct ChainRow {
    pub(super) number: i64,
    pub(super) device: DeviceId,
    pub(super) incarnation: Incarnation,
    pub(super) lane: Lane,
    /// Its height.
    pub(super) seq: u64,
    pub(super) head: BatchId,
    /// The first batch of it whose bytes are spoiled.
    pub(super) damaged_from: Option<u64>,
}

const COLUMNS: &str = "number, device, incarnation, lane, seq, head, damaged_from";

impl ChainRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let lane = row.get::<_, u8>(3)?;
        Ok(Self {
            number: row.get(0)?,
            device: DeviceId::from_bytes(row.get(1)?),
            incarnation: Incarnation::from_bytes(row.get(2)?),
            lane: Lane::from_u8(lane).ok_or(rusqlite::Error::IntegralValueOutOfRange(3, lane.into()))?,
            seq: row.get::<_, i64>(4)?.unsigned_abs(),
            head: BatchId::from_bytes(row.get(5)?),
            damaged_from: row.get::<_, Option<i64>>(6)?.map(i64::unsigned_abs),
        })
    }

    pub(super) fn find(connection: &Connection, chain: ChainId) -> Result<Option<Self>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM chain WHERE id = ?1");
        Ok(connection.prepare_cached(&sql)?.query_row([chain.as_bytes()], Self::read).optional()?)
    }

    /// Every chain of a device in a space.
    pub(super) fn of_device(
        connection: &Connection,
        space: i64,
        device: DeviceId,
    ) -> Result<Vec<Self>, LogError> {
        let sql = format!("SELECT {COLUMNS} FROM chain WHERE space = ?1 AND device = ?2 ORDER BY number");
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(params![space, device.as_bytes()], Self::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The row of the chain that a batch belongs to, without height if there was none.
    pub(super) fn begin(connection: &Connection, space: i64, header: &Header) -> Result<Self, LogError> {
        let sql = "INSERT INTO chain (id, space, device, incarnation, lane, seq, head)
            VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6) ON CONFLICT DO NOTHING";
        let chain = header.chain();
        connection.prepare_cached(sql)?.execute(params![
            chain.as_bytes(),
            space,
            header.device.as_bytes(),
            header.incarnation.as_bytes(),
            header.lane as u8,
            NOTHING.as_bytes()
        ])?;
        Self::find(connection, chain)?.ok_or(LogError::Contradiction { offset: 0 })
    }

    pub(super) fn set_height(
        &self,
        connection: &Connection,
        seq: u64,
        head: BatchId,
    ) -> Result<(), LogError> {
        connection
            .prepare_cached("UPDATE chain SET seq = ?2, head = ?3 WHERE number = ?1")?
            .execute(params![self.number, to_sql(seq), head.as_bytes()])?;
        Ok(())
    }

    /// The end of the branch that this log had first, whether it stands or a fork has displaced it since;
    /// as far as its bytes are held.
    pub(super) fn first_branch(&self, connection: &Connection) -> Result<(u64, BatchId), LogError> {
        if !quarantine::has_any(connection, self.number)? {
            return Ok((self.seq, self.head));
        }
        // Where a batch fell, its bytes are in quarantine, or in a later row if it has risen again.
        let sql = "SELECT id, seq, prev FROM batch AS first WHERE chain = ?1 AND (bytes IS NOT NULL
            OR EXISTS (SELECT 1 FROM quarantine AS q WHERE q.id = first.id AND q.bytes IS NOT NULL)
            OR EXISTS (SELECT 1 FROM batch AS later WHERE later.chain = ?1 AND later.seq = first.seq
                AND later.id = first.id AND later.bytes IS NOT NULL))
            ORDER BY batch_offset";
        let mut statement = connection.prepare_cached(sql)?;
        let (mut seq, mut head) = (0, NOTHING);
        for row in statement.query_map([self.number], link)? {
            let row = row?;
            if row.seq == seq + 1 && row.prev == head {
                (seq, head) = (row.seq, row.id);
            }
        }
        Ok((seq, head))
    }

    /// The offset at which a batch is served, if it is.
    pub(super) fn offset_of(
        &self,
        connection: &Connection,
        seq: u64,
        batch: BatchId,
    ) -> Result<Option<u64>, LogError> {
        let sql =
            "SELECT batch_offset FROM batch WHERE chain = ?1 AND seq = ?2 AND id = ?3 AND bytes IS NOT NULL";
        let offset: Option<i64> = connection
            .prepare_cached(sql)?
            .query_row(params![self.number, to_sql(seq), batch.as_bytes()], |row| row.get(0))
            .optional()?;
        Ok(offset.map(i64::unsigned_abs))
    }

    /// Whether a batch was ever taken at this place: it stands, is in quarantine or was discarded.
    pub(super) fn has_seen(
        &self,
        connection: &Connection,
        seq: u64,
        batch: BatchId,
    ) -> Result<bool, LogError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM batch WHERE chain = ?1 AND seq = ?2 AND id = ?3)
            OR EXISTS (SELECT 1 FROM quarantine WHERE chain = ?1 AND seq = ?2 AND id = ?3)";
        let place = params![self.number, to_sql(seq), batch.as_bytes()];
        Ok(connection.prepare_cached(sql)?.query_row(place, |row| row.get(0))?)
    }
}

/// A batch of a chain whose bytes are held.
#[derive(Debug, Clone, Copy)]
struct Held {
    link: Link,
    /// Its row in the log, unless it is in quarantine.
    row: Option<LogRow>,
}

#[derive(Debug, Clone, Copy)]
struct LogRow {
    number: i64,
    is_control: bool,
    stands: bool,
}

/// Everything held of one chain, and how far it may stand.
#[derive(Debug)]
pub(super) struct Branches {
    held: Vec<Held>,
    bound: Bound,
}

/// What is to be done with one batch so that exactly what stands is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    /// An entries batch of the log leaves it: the row's number.
    Fall(i64),
    /// A control batch of the log counts in no height any more, and is served all the same.
    Forget(i64),
    /// The same counts again.
    Remember(i64),
    /// A batch in quarantine is appended.
    Rise(BatchId),
}

impl Branches {
    pub(super) fn of(connection: &Connection, chain: &ChainRow, bound: Bound) -> Result<Self, LogError> {
        let mut held = Vec::new();
        let sql = "SELECT id, seq, prev, number, kind, stands FROM batch
            WHERE chain = ?1 AND bytes IS NOT NULL ORDER BY seq";
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([chain.number])?;
        while let Some(row) = rows.next()? {
            let is_control = row.get::<_, u8>(4)? == BatchKind::Control as u8;
            let in_log = LogRow { number: row.get(3)?, is_control, stands: row.get(5)? };
            held.push(Held { link: link(row)?, row: Some(in_log) });
        }
        for link in quarantine::links(connection, chain.number)? {
            held.push(Held { link, row: None });
        }
        Ok(Self { held, bound })
    }

    /// Whether a batch would stand if it were held.
    pub(super) fn would_stand(&self, link: Link) -> bool {
        let links: Vec<Link> = self.held.iter().map(|held| held.link).chain([link]).collect();
        branch::standing(&links, &self.bound).contains(&link.id)
    }

    /// What stands: the moves that lead there in their order, and then the chain's height and head.
    pub(super) fn settle(&self) -> (Vec<Move>, (u64, BatchId)) {
        let links: Vec<Link> = self.held.iter().map(|held| held.link).collect();
        let stands = branch::standing(&links, &self.bound);
        let on_branch: std::collections::HashSet<BatchId> = stands.iter().copied().collect();
        let mut moves = Vec::new();
        for held in &self.held {
            match held.row {
                Some(row) if row.stands && !on_branch.contains(&held.link.id) => {
                    moves.push(if row.is_control {
                        Move::Forget(row.number)
                    } else {
                        Move::Fall(row.number)
                    });
                }
                Some(row) if !row.stands && on_branch.contains(&held.link.id) => {
                    moves.push(Move::Remember(row.number));
                }
                _ => {}
            }
        }
        let in_quarantine: std::collections::HashSet<BatchId> =
            self.held.iter().filter(|held| held.row.is_none()).map(|held| held.link.id).collect();
        moves.extend(stands.iter().filter(|id| in_quarantine.contains(id)).map(|id| Move::Rise(*id)));
        let head = stands.last().copied().unwrap_or(NOTHING);
        (moves, (stands.len() as u64, head))
    }
}

/// A row that begins with id, seq and prev.
pub(super) fn link(row: &Row<'_>) -> rusqlite::Result<Link> {
    Ok(Link {
        id: BatchId::from_bytes(row.get(0)?),
        seq: row.get::<_, i64>(1)?.unsigned_abs(),
        prev: BatchId::from_bytes(row.get(2)?),
    })
}
