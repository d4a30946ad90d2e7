//! Erasing a record: its content goes, and what says that it was there stays.
//!
//! An erasure is a signed decision, and holds for ever: batches that have something of the record are
//! rewritten without it, whenever they come, and keep their id, their signature and their place. Nothing
//! of it may be left in the file either: SQLite overwrites what it deletes, and the write-ahead log is
//! emptied at once.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::Writing;
use super::error::StoreError;
use super::ingest::Ingest;
use super::merge::Target;
use super::observe::{Changed, TRACK};
use super::{row, track};
use crate::batch::{Body, BodyEntry, Entry, SealedBatch};
use crate::control::Membership;
use crate::id::{RecordId, SpaceId};
use crate::model::TrackChunk;

/// Which record an entry is about; a track chunk is about its patrol's track.
fn about(entry: &Entry) -> Option<(&str, RecordId)> {
    match entry {
        Entry::Change(change) => Some((&change.kind, change.record)),
        Entry::Ancestor(ancestor) => Some((&ancestor.kind, ancestor.record)),
        Entry::Track(chunk) => Some((TRACK, chunk.patrol)),
        Entry::Control(_) | Entry::Unknown { .. } | Entry::Unreadable { .. } => None,
    }
}

/// The entries of a body that are about such a record.
fn entries_about(body: &Body, is_it: impl Fn(&str, RecordId) -> bool) -> Vec<usize> {
    let is_it = |entry: &BodyEntry| match entry {
        BodyEntry::Present { entry, .. } => about(entry).is_some_and(|(kind, record)| is_it(kind, record)),
        BodyEntry::Erased { .. } => false,
    };
    body.entries.iter().enumerate().filter(|(_, entry)| is_it(entry)).map(|(index, _)| index).collect()
}

/// A batch and its body without these entries.
pub(super) fn stripped(batch: &SealedBatch, entries: &[usize]) -> Result<(SealedBatch, Body), StoreError> {
    let stripped = batch.erase(entries).and_then(|batch| batch.open().map(|body| (batch, body)));
    stripped.map_err(|_| StoreError::Unreadable("a batch to erase from"))
}

/// Empties the write-ahead log into the file. While somebody reads it cannot be, and the next erasure or
/// the end of the program does it.
pub(super) fn empty_log(connection: &Connection) {
    let emptied = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| row.get::<_, i64>(0));
    if !matches!(emptied, Ok(0)) {
        tracing::warn!("the write-ahead log still has something that was erased");
    }
}

impl Ingest<'_, '_> {
    /// The entries of a body that are about an erased record.
    pub(super) fn erased_in(&self, body: &Body) -> Vec<usize> {
        if !self.membership.has_erasures() {
            return Vec::new();
        }
        entries_about(body, |kind, record| self.membership.is_erased(kind, record))
    }

    /// A stored batch that nobody has looked into yet, without what was erased meanwhile.
    pub(super) fn stored_without_erased(
        &mut self,
        row: i64,
        batch: SealedBatch,
        body: Body,
    ) -> Result<(SealedBatch, Body), StoreError> {
        let erased = self.erased_in(&body);
        if erased.is_empty() {
            return Ok((batch, body));
        }
        let (batch, body) = stripped(&batch, &erased)?;
        self.writing.rewrite_batch(row, &batch)?;
        Ok((batch, body))
    }

    /// Erases what is erased now and was not before.
    pub(super) fn erase_new(&mut self, before: &Membership) -> Result<(), StoreError> {
        let new = self.membership.erasures().filter(|(kind, record)| !before.is_erased(kind, *record));
        let new: Vec<(String, RecordId)> = new.map(|(kind, record)| (kind.to_owned(), record)).collect();
        if new.is_empty() {
            return Ok(());
        }
        for row in self.writing.batches_not_looked_into(self.number)? {
            let batch = self.writing.read_batch(row)?;
            if let Ok(body) = batch.open() {
                self.stored_without_erased(row, batch, body)?;
            }
        }
        for (kind, record) in new {
            let target = Target { space: self.number, space_id: self.space, kind: &kind, record };
            self.writing.erase(&target)?;
        }
        self.writing.merge_words()
    }
}

impl Writing<'_> {
    /// Erases one record, or a patrol's track.
    fn erase(&mut self, target: &Target<'_>) -> Result<(), StoreError> {
        let mut batches = self.batches_held_of(target)?;
        self.rebuild.remove(&target.name());
        if target.kind == TRACK {
            batches.extend(self.delete_track(target)?);
        } else if let Some(row) = row::find_row(self.transaction, target.space, target.kind, target.record)? {
            batches.extend(self.batches_of(row)?);
            self.delete_record(row)?;
            self.changed.push(target.changed());
        }
        let key = (target.space, target.kind, target.record.as_bytes());
        for table in ["held_entry", "owed_ancestor"] {
            let sql = format!("DELETE FROM {table} WHERE space = ?1 AND kind = ?2 AND record = ?3");
            self.transaction.prepare_cached(&sql)?.execute(key)?;
        }
        let sql = "DELETE FROM pending WHERE space = ?1 AND kind = ?2 AND record = ?3";
        let named = (target.space_id.as_bytes(), target.kind, target.record.as_bytes());
        self.transaction.prepare_cached(sql)?.execute(named)?;
        for batch in batches {
            self.erase_in(batch, target)?;
        }
        self.has_erased = true;
        tracing::info!(space = %target.space_id, "a record was erased");
        Ok(())
    }

    fn erase_in(&mut self, row: i64, target: &Target<'_>) -> Result<(), StoreError> {
        let batch = self.read_batch(row)?;
        let Ok(body) = batch.open() else { return Ok(()) };
        let erased = entries_about(&body, |kind, record| kind == target.kind && record == target.record);
        if erased.is_empty() {
            return Ok(());
        }
        let (batch, _) = stripped(&batch, &erased)?;
        self.rewrite_batch(row, &batch)
    }

    fn rewrite_batch(&mut self, row: i64, batch: &SealedBatch) -> Result<(), StoreError> {
        let sql = "UPDATE batch SET bytes = ?2 WHERE id = ?1";
        self.transaction.prepare_cached(sql)?.execute((row, batch.as_bytes()))?;
        self.inner.bodies.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(row);
        self.has_erased = true;
        Ok(())
    }

    /// The batches that hold something of a record which is not part of it.
    fn batches_held_of(&self, target: &Target<'_>) -> Result<BTreeSet<i64>, StoreError> {
        let sql = "SELECT batch FROM held_entry WHERE space = ?1 AND kind = ?2 AND record = ?3 AND batch > 0";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let key = (target.space, target.kind, target.record.as_bytes());
        let batches = statement.query_map(key, |row| row.get(0))?;
        Ok(batches.collect::<Result<_, _>>()?)
    }

    fn batches_of(&self, row: i64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT batch FROM record_entry WHERE record = ?1 AND batch IS NOT NULL";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let batches = statement.query_map([row], |row| row.get(0))?;
        Ok(batches.collect::<Result<_, _>>()?)
    }

    /// The batches whose entries are in no place that is noted: they wait, or could not be read.
    fn batches_not_looked_into(&self, space: i64) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT b.id FROM batch b INDEXED BY batch_waiting JOIN chain c ON c.id = b.chain
            WHERE b.state > 0 AND b.state < 3 AND c.space = ?1";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let batches = statement.query_map([space], |row| row.get(0))?;
        Ok(batches.collect::<Result<_, _>>()?)
    }

    /// Deletes a patrol's track, the chunks that are pending too; gives the batches that have it.
    fn delete_track(&mut self, target: &Target<'_>) -> Result<Vec<i64>, StoreError> {
        let sql = "DELETE FROM track_chunk WHERE space = ?1 AND patrol = ?2 RETURNING batch, chunk, chain";
        let deleted: Vec<(Option<i64>, [u8; 16], i64)> = {
            let mut statement = self.transaction.prepare_cached(sql)?;
            let rows = statement.query_map((target.space, target.record.as_bytes()), |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })?;
            rows.collect::<Result<_, _>>()?
        };
        if !deleted.is_empty() {
            let (space, kind) = (target.space_id, TRACK.to_owned());
            self.changed.push(Changed { space, kind, id: target.record });
        }
        for (batch, chunk, chain) in &deleted {
            if batch.is_none() {
                self.delete_pending_chunk(target.space_id, chunk, target.record)?;
            }
            self.take_refused_chunk(target, *chain, RecordId::from_bytes(*chunk))?;
        }
        Ok(deleted.into_iter().filter_map(|(batch, _, _)| batch).collect())
    }

    /// Takes a chunk of the same id that was refused because of the one that is gone: where that one was
    /// erased first, nothing is in its way.
    fn take_refused_chunk(
        &mut self,
        target: &Target<'_>,
        chain: i64,
        id: RecordId,
    ) -> Result<(), StoreError> {
        let sql = "SELECT h.batch, h.entry, h.record FROM held_entry h JOIN batch b ON b.id = h.batch
            WHERE h.space = ?1 AND h.kind = ?2 AND h.chain = ?3 AND h.state = 13 AND h.record <> ?4
            ORDER BY b.seq, h.entry";
        let refused: Vec<(i64, u32, [u8; 16])> = {
            let mut statement = self.transaction.prepare_cached(sql)?;
            let key = (target.space, TRACK, chain, target.record.as_bytes());
            let rows = statement.query_map(key, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        for (batch, entry, patrol) in refused {
            let body = self.inner.body(self.transaction, batch)?;
            let Some(BodyEntry::Present { entry: Entry::Track(chunk), .. }) =
                body.entries.get(entry as usize)
            else {
                continue;
            };
            if chunk.id != id {
                continue;
            }
            let sql = "DELETE FROM held_entry
                WHERE space = ?1 AND kind = ?2 AND record = ?3 AND batch = ?4 AND entry = ?5";
            self.transaction.prepare_cached(sql)?.execute((target.space, TRACK, patrol, batch, entry))?;
            let encoded = chunk.to_bytes().map_err(|_| StoreError::Unreadable("a track chunk"))?;
            track::insert(self.transaction, target.space, chain, chunk, &encoded, Some(batch))?;
            let (space, kind) = (target.space_id, TRACK.to_owned());
            self.changed.push(Changed { space, kind, id: chunk.patrol });
            return Ok(());
        }
        Ok(())
    }

    fn delete_pending_chunk(
        &self,
        space: SpaceId,
        chunk: &[u8; 16],
        patrol: RecordId,
    ) -> Result<(), StoreError> {
        let sql = "SELECT id, body FROM pending WHERE record = ?1 AND kind IS NULL AND space = ?2";
        let found: Vec<(i64, Vec<u8>)> = {
            let mut statement = self.transaction.prepare_cached(sql)?;
            let rows =
                statement.query_map((chunk, space.as_bytes()), |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        for (id, body) in found {
            if TrackChunk::from_bytes(&body).is_ok_and(|chunk| chunk.patrol == patrol) {
                self.transaction.prepare_cached("DELETE FROM pending WHERE id = ?1")?.execute([id])?;
            }
        }
        Ok(())
    }

    /// The index of words only marks what was deleted until its parts are merged.
    fn merge_words(&self) -> Result<(), StoreError> {
        self.transaction.execute("INSERT INTO record_text (record_text) VALUES ('optimize')", ())?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
