//! Batches at which the process dies while it takes them in.
//!
//! Bytes from strangers are scanned before anything else reads them, so this should not happen. If
//! it does all the same, an app must not die again at every start: what is about to be taken in is
//! noted in a small file beside the database, which is gone when it was taken in. A note that is
//! left at an opening says that the process died there. Its batches are then taken in one by one,
//! and one at which the process dies twice while it is alone is set aside: kept as it is, shown in
//! the counts, and tried again by another version of this program, and by this one after some openings,
//! then after twice as many. That is local and no verdict, or replicas would differ for good.
//!
//! The tries of the same program are for the batches that were blamed for nothing: a battery that ends,
//! or a system that ends whatever is in the background, three times while the same batch is in hand.
//! If it is the batch, the app dies at one in eight openings, then one in sixteen, and so on.
//!
//! The note need not reach the disk: it must outlive the process, not the power. What it cannot tell
//! is a batch that only makes an earlier one's entry go on; then the later one is set aside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction};

use super::error::StoreError;
use super::ingest::{CarriedOutcome, CarriedReport, IngestError, IngestReport, Stopped};
use super::lock::beside;
use super::{Inner, Store, StoreConfig, space};
use crate::batch::SealedBatch;
use crate::id::{BatchId, SpaceId, from_hex, to_hex};
use crate::position::Cursor;

/// How often the process may die at a batch that is taken in alone.
const DEATHS_MAX: u32 = 2;
/// Openings of the database until a batch that was set aside is tried again by the same program: so
/// many, then twice as many, and no more than the last.
const OPENINGS_MIN: u32 = 8;
const OPENINGS_DOUBLINGS_MAX: u32 = 7;
/// The first line of a note.
const HEAD: &str = "barid: being taken in";
/// Which program this is.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Names what is being taken in as long as it lives, and beyond if the process or the thread dies.
pub(super) struct Note(Option<PathBuf>);

impl Drop for Note {
    fn drop(&mut self) {
        let Some(path) = self.0.take().filter(|_| !std::thread::panicking()) else { return };
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(%error, "the note of what was taken in stays");
        }
    }
}

fn path_of(config: &StoreConfig) -> Option<PathBuf> {
    // A replica's process is watched over by another one.
    config.path.as_ref().filter(|_| config.identity.is_some()).map(|path| beside(path, ".decoding"))
}

impl Inner {
    /// Notes what is about to be taken in. Where that cannot be written, as on a full disk, it is
    /// taken in without.
    pub(super) fn note(&self, batches: &[BatchId]) -> Note {
        let Some(path) = path_of(&self.config).filter(|_| !batches.is_empty()) else { return Note(None) };
        let mut text = format!("{HEAD}\n");
        for batch in batches {
            text.push_str(&to_hex(batch.as_bytes()));
            text.push('\n');
        }
        match fs::write(&path, text) {
            Ok(()) => Note(Some(path)),
            Err(error) => {
                tracing::warn!(%error, "what is taken in could not be noted");
                Note(None)
            }
        }
    }

    /// How often the process died at each of these batches while it was alone, if it is suspected.
    fn deaths(&self, batches: &[BatchId]) -> Result<Vec<Option<u32>>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT deaths FROM suspect WHERE batch = ?1";
            let mut statement = connection.prepare_cached(sql)?;
            let deaths = |batch: &BatchId| {
                let mut rows = statement.query([batch.as_bytes()])?;
                rows.next()?.map(|row| row.get(0)).transpose()
            };
            Ok(batches.iter().map(deaths).collect::<rusqlite::Result<_>>()?)
        })
    }

    fn has_suspects(&self) -> Result<bool, StoreError> {
        self.read(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM suspect)";
            Ok(connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
        })
    }

    fn clear(&self, batch: BatchId) -> Result<(), StoreError> {
        self.transaction(|writing| {
            for table in ["suspect", "set_aside"] {
                writing
                    .transaction
                    .execute(&format!("DELETE FROM {table} WHERE batch = ?1"), [batch.as_bytes()])?;
            }
            Ok(())
        })
    }

    fn set_aside(&self, space: SpaceId, offset: Option<u64>, batch: &SealedBatch) -> Result<(), StoreError> {
        tracing::error!(batch = %batch.id(), "the process died at a batch again: it is set aside");
        self.transaction(|writing| {
            let Some(number) = space::number(writing.transaction, space)? else { return Ok(()) };
            // What a peer carried first may then come from the log, which is read on behind it.
            let sql = "INSERT INTO set_aside (batch, space, log_offset, bytes) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT DO UPDATE SET log_offset = coalesce(excluded.log_offset, log_offset)";
            let offset = offset.map(|offset| offset as i64);
            writing.transaction.execute(sql, (batch.id().as_bytes(), number, offset, batch.as_bytes()))?;
            Ok(())
        })
    }
}

/// Reads a note that an earlier process left, and suspects what it names.
pub(super) fn read_note(connection: &mut Connection, config: &StoreConfig) -> Result<(), StoreError> {
    let Some(path) = path_of(config) else { return Ok(()) };
    let named = match read(&path) {
        Ok(Some(named)) => named,
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::warn!(%error, "a note of what was taken in cannot be read");
            return Ok(());
        }
    };
    tracing::warn!(batches = named.len(), "the process died while it took batches in");
    let transaction = connection.transaction()?;
    suspect(&transaction, &named)?;
    transaction.commit()?;
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(%error, "the note of what was taken in stays");
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<Option<Vec<BatchId>>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // A torn note names fewer; each line is whole or none.
    let lines = text.lines().skip(1);
    Ok(Some(lines.filter_map(|line| from_hex::<32>(line).map(BatchId::from_bytes)).collect()))
}

fn suspect(transaction: &Transaction<'_>, named: &[BatchId]) -> rusqlite::Result<()> {
    let alone = u32::from(named.len() == 1);
    let sql = "INSERT INTO suspect (batch, deaths, version) VALUES (?1, ?2, ?3)
        ON CONFLICT DO UPDATE SET deaths = deaths + ?2";
    let mut statement = transaction.prepare(sql)?;
    for batch in named {
        statement.execute((batch.as_bytes(), alone, VERSION))?;
    }
    Ok(())
}

impl Store {
    /// Takes batches in with a note of them: together, or one by one where the process died before.
    pub(super) fn ingest_noted(
        &self,
        space: SpaceId,
        batches: &[(u64, SealedBatch)],
        cursor: Option<Cursor>,
    ) -> Result<IngestReport, IngestError> {
        let ids: Vec<BatchId> = batches.iter().map(|(_, batch)| batch.id()).collect();
        let deaths = if self.inner.has_suspects()? { self.inner.deaths(&ids)? } else { Vec::new() };
        if deaths.iter().all(Option::is_none) {
            let _note = self.inner.note(&ids);
            return self.ingest_together(space, batches, cursor);
        }
        let mut all = IngestReport::default();
        for (one, deaths) in batches.iter().zip(deaths) {
            let (offset, batch) = one;
            if deaths.is_some_and(|deaths| deaths >= DEATHS_MAX) {
                self.inner.set_aside(space, Some(*offset), batch)?;
                all.set_aside += 1;
                continue;
            }
            let note = self.inner.note(&[batch.id()]);
            let taken = self.ingest_together(space, std::slice::from_ref(one), None);
            drop(note);
            match taken {
                Ok(report) => all.add(report),
                Err(IngestError::Stopped { stopped: Stopped { offset, batch, by }, report, source }) => {
                    all.add(*report);
                    let stopped = Stopped { offset, batch, by };
                    return Err(IngestError::Stopped { stopped, report: Box::new(all), source });
                }
                Err(error) => return Err(error),
            }
            if deaths.is_some() {
                self.inner.clear(batch.id())?;
            }
        }
        all.add(self.ingest_together(space, &[], cursor)?);
        Ok(all)
    }

    /// The same for batches that come without a place in a log.
    pub(super) fn carry_noted(
        &self,
        space: SpaceId,
        batches: &[SealedBatch],
    ) -> Result<CarriedReport, IngestError> {
        let ids: Vec<BatchId> = batches.iter().map(SealedBatch::id).collect();
        let deaths = if self.inner.has_suspects()? { self.inner.deaths(&ids)? } else { Vec::new() };
        if deaths.iter().all(Option::is_none) {
            let _note = self.inner.note(&ids);
            return self.carry_together(space, batches);
        }
        let mut all = CarriedReport::default();
        for (batch, deaths) in batches.iter().zip(deaths) {
            if deaths.is_some_and(|deaths| deaths >= DEATHS_MAX) {
                self.inner.set_aside(space, None, batch)?;
                all.outcomes.push(CarriedOutcome::Waiting);
                continue;
            }
            let note = self.inner.note(&[batch.id()]);
            let report = self.carry_together(space, std::slice::from_ref(batch))?;
            drop(note);
            all.outcomes.extend(report.outcomes);
            all.changed.extend(report.changed);
            all.membership_changed |= report.membership_changed;
            if deaths.is_some() {
                self.inner.clear(batch.id())?;
            }
        }
        all.changed.sort_unstable();
        all.changed.dedup();
        Ok(all)
    }

    /// Tries what was set aside: anew by any program but the one that set it aside, and by that one when
    /// it has waited long enough.
    pub(super) fn try_set_aside(&self) -> Result<(), StoreError> {
        if !self.inner.has_suspects()? {
            return Ok(());
        }
        self.inner.transaction(|writing| {
            let sql = "UPDATE suspect SET deaths = 0, version = ?1 WHERE version <> ?1";
            writing.transaction.execute(sql, [VERSION])?;
            let sql =
                "UPDATE suspect SET openings = openings + 1 WHERE batch IN (SELECT batch FROM set_aside)";
            writing.transaction.execute(sql, ())?;
            // Counted before it is tried, so that it waits again if the process dies at it.
            let sql = "UPDATE suspect SET deaths = ?1 - 1, tries = tries + 1, openings = 0
                WHERE deaths >= ?1 AND openings >= (?2 << min(tries, ?3))";
            writing.transaction.execute(sql, (DEATHS_MAX, OPENINGS_MIN, OPENINGS_DOUBLINGS_MAX))?;
            // The process was killed right after they were taken in.
            let sql = "DELETE FROM suspect WHERE batch IN (SELECT batch FROM batch)
                AND batch NOT IN (SELECT batch FROM set_aside)";
            writing.transaction.execute(sql, ())?;
            Ok::<_, StoreError>(())
        })?;
        for (space, offset, bytes) in self.inner.read(to_be_tried)? {
            let Ok(batch) = SealedBatch::parse(bytes) else { continue };
            let id = batch.id();
            let taken = match offset {
                Some(offset) => {
                    self.ingest(space, &[(offset as u64, batch)], None).map(|taken| taken.set_aside == 0)
                }
                None => self.ingest_carried(space, &[batch]).map(|_| true),
            };
            match taken {
                Ok(true) => self.inner.clear(id)?,
                Err(IngestError::Store(error)) => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

type Kept = (SpaceId, Option<i64>, Vec<u8>);

fn to_be_tried(connection: &Connection) -> Result<Vec<Kept>, StoreError> {
    let sql = "SELECT s.space, a.log_offset, a.bytes FROM set_aside a JOIN space s ON s.id = a.space
        JOIN suspect d ON d.batch = a.batch WHERE d.deaths < ?1 ORDER BY a.log_offset, a.batch";
    let mut statement = connection.prepare(sql)?;
    let rows = statement
        .query_map([DEATHS_MAX], |row| Ok((SpaceId::from_bytes(row.get(0)?), row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
