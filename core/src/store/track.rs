//! Track chunks: immutable, outside the records, found by patrol and by device.

use rusqlite::{Connection, Row, Transaction};

use super::error::StoreError;
use super::ingest::EntryRefusal;
use super::merge::Outcome;
use super::{Store, space};
use crate::id::{DeviceId, OrganisationId, RecordId, SpaceId};
use crate::model::{Position, TrackChunk};

/// A track chunk and who took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTrack {
    /// The positions and gaps.
    pub chunk: TrackChunk,
    /// Which device took them.
    pub device: DeviceId,
    /// Whose device it is, if that is known.
    pub organisation: Option<OrganisationId>,
}

/// Where a device was last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatestPosition {
    /// Which device.
    pub device: DeviceId,
    /// Whose device it is, if that is known.
    pub organisation: Option<OrganisationId>,
    /// Where and when.
    pub position: Position,
    /// On which patrol.
    pub patrol: RecordId,
}

impl Store {
    /// The track chunks of one patrol, the earliest first.
    pub fn tracks(&self, space: SpaceId, patrol: RecordId) -> Result<Vec<StoredTrack>, StoreError> {
        self.inner.read(|connection| {
            let Some(space) = space::number(connection, space)? else { return Ok(Vec::new()) };
            let sql =
                "SELECT t.body, c.device, c.organisation FROM track_chunk t JOIN chain c ON c.id = t.chain
                WHERE t.space = ?1 AND t.patrol = ?2 ORDER BY t.time_from, t.chunk, c.device, c.incarnation";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query((space, patrol.as_bytes()))?;
            let mut tracks: Vec<StoredTrack> = Vec::new();
            while let Some(row) = rows.next()? {
                let track = read(row)?;
                // Two copies of a device's file may both have sent a chunk: it is one.
                if tracks.last() != Some(&track) {
                    tracks.push(track);
                }
            }
            Ok(tracks)
        })
    }

    /// Where each device of a space was last, by its tracks; in the order of devices.
    pub fn latest_positions(&self, space: SpaceId) -> Result<Vec<LatestPosition>, StoreError> {
        self.inner.read(|connection| {
            let Some(space) = space::number(connection, space)? else { return Ok(Vec::new()) };
            // The newest chunk of each chain; a device has several chains if it was set up again.
            let sql = "SELECT t.body, c.device, c.organisation FROM chain c JOIN track_chunk t ON t.id =
                (SELECT n.id FROM track_chunk n WHERE n.chain = c.id ORDER BY n.time_to DESC, n.id LIMIT 1)
                WHERE c.space = ?1 ORDER BY c.device, t.time_to DESC";
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query([space])?;
            let mut latest: Vec<LatestPosition> = Vec::new();
            while let Some(row) = rows.next()? {
                let StoredTrack { chunk, device, organisation } = read(row)?;
                if latest.last().is_some_and(|last| last.device == device) {
                    continue;
                }
                if let Some(position) = chunk.positions.last() {
                    let (position, patrol) = (*position, chunk.patrol);
                    latest.push(LatestPosition { device, organisation, position, patrol });
                }
            }
            Ok(latest)
        })
    }
}

fn read(row: &Row<'_>) -> Result<StoredTrack, StoreError> {
    let chunk = TrackChunk::from_bytes(row.get_ref(0)?.as_bytes().map_err(rusqlite::Error::from)?);
    Ok(StoredTrack {
        chunk: chunk.map_err(|_| StoreError::Unreadable("a track chunk"))?,
        device: DeviceId::from_bytes(row.get(1)?),
        organisation: row.get::<_, Option<[u8; 32]>>(2)?.map(OrganisationId::from_bytes),
    })
}

/// Stores a chunk; `body` is its encoded form, `batch` has it unless it is pending. Chunks never change: another of the same id and
/// author is refused.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    space: i64,
    chain: i64,
    chunk: &TrackChunk,
    body: &[u8],
    batch: Option<i64>,
) -> Result<Outcome, StoreError> {
    let times = chunk.positions.iter().map(|position| position.time);
    let times = times.chain(chunk.gaps.iter().flat_map(|gap| [gap.from, gap.to]));
    let (from, to) = times.fold((i64::MAX, i64::MIN), |(from, to), time| {
        (from.min(time.as_millis()), to.max(time.as_millis()))
    });
    // The newest chunk is the one whose last *position* is the newest.
    let to = chunk.positions.last().map_or(to, |last| last.time.as_millis());
    let sql = "INSERT INTO track_chunk (space, chain, chunk, patrol, time_from, time_to, body, batch)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (space, chain, chunk) DO NOTHING";
    let inserted = transaction.prepare_cached(sql)?.execute((
        space,
        chain,
        chunk.id.as_bytes(),
        chunk.patrol.as_bytes(),
        from,
        to,
        body,
        batch,
    ))?;
    if inserted == 1 {
        return Ok(Outcome::Applied);
    }
    if held_body(transaction, space, chain, chunk.id)? == body {
        Ok(Outcome::Held)
    } else {
        Ok(Outcome::Refused(EntryRefusal::SequenceReused))
    }
}

/// Whether a device's chunk is here, under whatever name of its file it came.
pub(super) fn is_held(
    connection: &Connection,
    space: i64,
    device: DeviceId,
    chunk: RecordId,
    body: &[u8],
) -> Result<bool, StoreError> {
    let sql =
        "SELECT EXISTS (SELECT 1 FROM chain c JOIN track_chunk t ON t.space = c.space AND t.chain = c.id
        WHERE c.space = ?1 AND c.device = ?2 AND t.chunk = ?3 AND t.body = ?4)";
    let key = (space, device.as_bytes(), chunk.as_bytes(), body);
    Ok(connection.prepare_cached(sql)?.query_row(key, |row| row.get(0))?)
}

fn held_body(
    connection: &Connection,
    space: i64,
    chain: i64,
    chunk: RecordId,
) -> Result<Vec<u8>, StoreError> {
    Ok(connection
        .prepare_cached("SELECT body FROM track_chunk WHERE space = ?1 AND chain = ?2 AND chunk = ?3")?
        .query_row((space, chain, chunk.as_bytes()), |row| row.get(0))?)
}
