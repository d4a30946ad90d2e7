//! The bytes of attachments: kept, read, checked and dropped.

use rusqlite::Connection;

use super::super::error::StoreError;
use super::super::schema::Durability;
use super::album::{Album, Found, State, find};
use crate::attachment::{AttachmentKept, AttachmentName};
use crate::id::{AttachmentHash, SpaceId};
use crate::limits::ATTACHMENT_LEN_MAX;

/// Bytes of one run of what is attached here.
const RUN_LEN: usize = 64 * 1024;

fn run_id(attachment: i64, offset: u64) -> i64 {
    attachment << 32 | offset as i64
}

impl Album {
    /// Keeps all bytes of an attachment, durably: it is to be mentioned next.
    pub(super) fn keep(
        &mut self,
        name: AttachmentName,
        bytes: &[u8],
        is_thumbnail: bool,
    ) -> Result<(), StoreError> {
        self.transaction(Durability::Full, |connection| {
            if let Some(found) = find(connection, name)? {
                if !matches!(found.state, State::Wanted | State::Absent) {
                    return Ok(());
                }
                drop_runs(connection, found.id)?;
            }
            let sql = "INSERT INTO attachment (space, hash, len, is_thumbnail, held_len, state)
                VALUES (?1, ?2, ?3, ?4, ?3, ?5)
                ON CONFLICT DO UPDATE SET len = ?3, held_len = ?3, state = ?5 RETURNING id";
            let (len, state) = (bytes.len() as i64, State::Attaching as u8);
            let values = (name.0.as_bytes(), name.1.as_bytes(), len, is_thumbnail, state);
            let id: i64 = connection.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
            for (number, run) in bytes.chunks(RUN_LEN).enumerate() {
                put_run(connection, id, (number * RUN_LEN) as u64, run)?;
            }
            Ok(())
        })
    }

    /// A part of an attachment that is whole.
    pub(super) fn part(
        &self,
        name: AttachmentName,
        offset: u64,
        len_max: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(found) = self.find(name)?.filter(|found| found.is_whole() && offset <= found.len) else {
            return Ok(None);
        };
        let end = found.len.min(offset.saturating_add(len_max as u64));
        let mut part = Vec::with_capacity((end - offset) as usize);
        // The run that the part begins in, and those behind it.
        let sql = "SELECT id & 0xffffffff, bytes FROM run
            WHERE id >= (SELECT max(id) FROM run WHERE id BETWEEN ?1 AND ?2) AND id < ?3 ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let ids = (run_id(found.id, 0), run_id(found.id, offset), run_id(found.id, end));
        let mut rows = statement.query(ids)?;
        while let Some(row) = rows.next()? {
            let begin = row.get::<_, i64>(0)? as u64;
            let bytes = row.get_ref(1)?.as_bytes().map_err(rusqlite::Error::from)?;
            let from = (offset.saturating_sub(begin) as usize).min(bytes.len());
            let to = (end.saturating_sub(begin) as usize).min(bytes.len());
            part.extend(&bytes[from..to]);
        }
        // A run that is missing is damage of this one attachment alone.
        Ok((part.len() as u64 == end - offset).then_some(part))
    }

    /// Keeps a part that came, where the last one ended.
    pub(super) fn keep_part(
        &mut self,
        name: AttachmentName,
        len: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Result<AttachmentKept, StoreError> {
        self.transaction(Durability::Relaxed, |connection| {
            let Some(found) = find(connection, name)?.filter(|found| found.state == State::Wanted) else {
                return Ok(AttachmentKept::Unwanted);
            };
            let end = offset + bytes.len() as u64;
            if len == 0 || len > ATTACHMENT_LEN_MAX || end > len {
                return Ok(AttachmentKept::Unwanted);
            }
            if found.held_len > 0 && found.len != len {
                return begin_again(connection, &found);
            }
            if found.held_len != offset {
                return Ok(AttachmentKept::Part { held: found.held_len });
            }
            put_run(connection, found.id, offset, bytes)?;
            if end == len && hash_of(connection, found.id)? != name.1 {
                return begin_again(connection, &found);
            }
            let state = if end == len { State::Delivered } else { State::Wanted };
            let sql = "UPDATE attachment SET len = ?2, held_len = ?3, state = ?4 WHERE id = ?1";
            let values = (found.id, len as i64, end as i64, state as u8);
            connection.prepare_cached(sql)?.execute(values)?;
            Ok(match state {
                State::Delivered => AttachmentKept::Whole,
                _ => AttachmentKept::Part { held: end },
            })
        })
    }

    /// Drops originals that the relay has for good; how many bytes.
    pub(super) fn free(&mut self, space: SpaceId, watermark: u64) -> Result<u64, StoreError> {
        let freed = self.transaction(Durability::Relaxed, |connection| {
            let sql =
                "SELECT id, held_len FROM attachment WHERE space = ?1 AND state = 2 AND is_thumbnail = 0
                AND (head IS NULL OR head < ?2)";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map((space.as_bytes(), watermark as i64), |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)? as u64))
            })?;
            let mut freed = 0;
            for (id, len) in rows.collect::<Result<Vec<_>, _>>()? {
                drop_runs(connection, id)?;
                let sql = "UPDATE attachment SET state = 3, held_len = 0, head = NULL WHERE id = ?1";
                connection.prepare_cached(sql)?.execute([id])?;
                freed += len;
            }
            Ok(freed)
        })?;
        self.give_room_back();
        Ok(freed)
    }

    /// Gives free pages back to the disk.
    pub(super) fn give_room_back(&self) {
        // It gives one page a step.
        let give = || -> Result<(), rusqlite::Error> {
            let mut statement = self.connection.prepare("PRAGMA incremental_vacuum")?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(())
        };
        if let Err(error) = give() {
            tracing::warn!(error = &error as &dyn std::error::Error, "no room was given back");
        }
    }
}

impl Found {
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.state, State::ToSend | State::Delivered | State::Attaching)
    }
}

fn put_run(connection: &Connection, id: i64, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO run (id, bytes) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute((run_id(id, offset), bytes))?;
    Ok(())
}

/// Drops all bytes of an attachment.
pub(super) fn drop_runs(connection: &Connection, id: i64) -> Result<(), StoreError> {
    let sql = "DELETE FROM run WHERE id >= ?1 AND id < ?2";
    connection.prepare_cached(sql)?.execute((run_id(id, 0), run_id(id + 1, 0)))?;
    Ok(())
}

fn begin_again(connection: &Connection, found: &Found) -> Result<AttachmentKept, StoreError> {
    drop_runs(connection, found.id)?;
    connection.prepare_cached("UPDATE attachment SET held_len = 0 WHERE id = ?1")?.execute([found.id])?;
    Ok(AttachmentKept::Harmed)
}

/// All bytes of an attachment, if they are those that its name says.
pub(super) fn whole(
    connection: &Connection,
    id: i64,
    hash: AttachmentHash,
) -> Result<Option<Vec<u8>>, StoreError> {
    let mut bytes = Vec::new();
    // A damaged file may hold more than anybody attached.
    each_run(connection, id, |run| {
        bytes.extend_from_slice(run);
        bytes.len() as u64 <= ATTACHMENT_LEN_MAX
    })?;
    Ok((AttachmentHash::of(&bytes) == hash).then_some(bytes))
}

fn hash_of(connection: &Connection, id: i64) -> Result<AttachmentHash, StoreError> {
    let mut hasher = blake3::Hasher::new();
    each_run(connection, id, |run| {
        hasher.update(run);
        true
    })?;
    Ok(AttachmentHash::from_bytes(*hasher.finalize().as_bytes()))
}

/// Takes the runs of an attachment in their order, as long as more are wanted.
fn each_run(connection: &Connection, id: i64, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), StoreError> {
    let sql = "SELECT bytes FROM run WHERE id >= ?1 AND id < ?2 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query((run_id(id, 0), run_id(id + 1, 0)))?;
    while let Some(row) = rows.next()? {
        if !take(row.get_ref(0)?.as_bytes().map_err(rusqlite::Error::from)?) {
            break;
        }
    }
    Ok(())
}
