//! Which batches made the worker die, and which are therefore set aside.
//!
//! A small file of its own beside the views: it must outlive both the transaction in which the
//! worker died and the views themselves. Only the *supervisor* counts a death, and only one that it
//! saw: a relay that is killed together with its worker accuses no batch. What is set aside is set
//! aside here alone, never a verdict; the next version tries it again.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use barid_core::id::SpaceId;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::data_dir::DataDir;

/// Deaths at one batch after which it is set aside.
const DEATHS_MAX: u32 = 2;

/// The file of deaths cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AsideError {
    /// The file cannot be made.
    #[error("making the list of what was set aside")]
    File(#[source] std::io::Error),
    /// SQLite failed.
    #[error("using the list of what was set aside")]
    Database(#[from] rusqlite::Error),
}

/// A run of offsets of one space: what the worker is about to take in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// The space.
    pub space: SpaceId,
    /// The first offset.
    pub first: u64,
    /// The last offset.
    pub last: u64,
}

/// How the worker may go on behind a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caution {
    /// As many batches at once as it likes.
    None,
    /// One batch at a time: it died somewhere near.
    OneByOne,
    /// Not this batch at all.
    SetAside,
}

/// The list, on its own connection.
#[derive(Debug)]
pub struct Aside {
    connection: Connection,
    version: String,
}

impl Aside {
    /// Opens the list, creating it if there is none. `version` is this program's.
    pub fn open(path: &Path, version: &str) -> Result<Self, AsideError> {
        DataDir::touch_private(path).map_err(AsideError::File)?;
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // It must outlive the worker, and not the power: what a power cut takes back is found out again.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS attempt (    -- what the worker is doing now; empty while it rests
                 one        INTEGER PRIMARY KEY CHECK (one = 1),
                 space      BLOB NOT NULL,
                 first      INTEGER NOT NULL,        -- offsets, both included
                 last       INTEGER NOT NULL
             ) STRICT;
             CREATE TABLE IF NOT EXISTS death (      -- where it died
                 space      BLOB NOT NULL,
                 first      INTEGER NOT NULL,
                 last       INTEGER NOT NULL,
                 deaths     INTEGER NOT NULL,
                 version    TEXT NOT NULL,           -- of the program that died: another one tries again
                 PRIMARY KEY (space, first, last)
             ) STRICT, WITHOUT ROWID;
             CREATE TABLE IF NOT EXISTS aside (      -- what was skipped
                 space      BLOB NOT NULL,
                 log_offset INTEGER NOT NULL,
                 version    TEXT NOT NULL,           -- of the program that skipped it
                 PRIMARY KEY (space, log_offset)
             ) STRICT, WITHOUT ROWID;",
        )?;
        Ok(Self { connection, version: version.to_owned() })
    }

    /// Notes what comes next, before it is begun.
    pub fn begin(&self, attempt: Attempt) -> Result<(), AsideError> {
        self.connection
            .prepare_cached("REPLACE INTO attempt (one, space, first, last) VALUES (1, ?, ?, ?)")?
            .execute(params![attempt.space.as_bytes(), attempt.first as i64, attempt.last as i64])?;
        Ok(())
    }

    /// Notes that it is over, well or with an error that was reported.
    pub fn end(&self) -> Result<(), AsideError> {
        self.connection.prepare_cached("DELETE FROM attempt")?.execute([])?;
        Ok(())
    }

    /// Counts a death of the worker against what it was doing. Returns what that was.
    pub fn count_death(&mut self) -> Result<Option<Attempt>, AsideError> {
        let transaction = self.connection.transaction()?;
        let attempt = transaction
            .query_row("SELECT space, first, last FROM attempt", [], |row| {
                let space: [u8; 32] = row.get(0)?;
                Ok(Attempt {
                    space: SpaceId::from_bytes(space),
                    first: row.get::<_, i64>(1)? as u64,
                    last: row.get::<_, i64>(2)? as u64,
                })
            })
            .optional()?;
        if let Some(attempt) = attempt {
            transaction.execute(
                "INSERT INTO death (space, first, last, deaths, version) VALUES (?, ?, ?, 1, ?)
                 ON CONFLICT DO UPDATE SET
                     deaths = CASE version WHEN excluded.version THEN deaths + 1 ELSE 1 END,
                     version = excluded.version",
                params![attempt.space.as_bytes(), attempt.first as i64, attempt.last as i64, self.version],
            )?;
            transaction.execute("DELETE FROM attempt", [])?;
        }
        transaction.commit()?;
        Ok(attempt)
    }

    /// How to take in the batch at an offset.
    pub fn caution(&self, space: SpaceId, offset: u64) -> Result<Caution, AsideError> {
        let (near, here): (u32, u32) = self
            .connection
            .prepare_cached(
                "SELECT count(*), coalesce(max(deaths) FILTER (WHERE first = last), 0) FROM death
                 WHERE space = ?1 AND first <= ?2 AND last >= ?2 AND version = ?3",
            )?
            .query_row(params![space.as_bytes(), offset as i64, self.version], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        Ok(match (near, here) {
            (_, here) if here >= DEATHS_MAX => Caution::SetAside,
            (0, _) => Caution::None,
            _ => Caution::OneByOne,
        })
    }

    /// The first offset after `after` that needs caution, if any.
    pub fn next_caution(&self, space: SpaceId, after: u64) -> Result<Option<u64>, AsideError> {
        let next: Option<i64> = self
            .connection
            .prepare_cached(
                "SELECT min(max(first, ?2)) FROM death WHERE space = ?1 AND last >= ?2 AND version = ?3",
            )?
            .query_row(params![space.as_bytes(), after as i64 + 1, self.version], |row| row.get(0))?;
        Ok(next.map(|offset| offset as u64))
    }

    /// Notes that a batch was skipped.
    pub fn set_aside(&self, space: SpaceId, offset: u64) -> Result<(), AsideError> {
        self.connection
            .prepare_cached("REPLACE INTO aside (space, log_offset, version) VALUES (?, ?, ?)")?
            .execute(params![space.as_bytes(), offset as i64, self.version])?;
        Ok(())
    }

    /// What another version skipped, and this one has not tried yet.
    pub fn to_try_again(&self) -> Result<Vec<(SpaceId, u64)>, AsideError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT space, log_offset FROM aside WHERE version <> ? ORDER BY space, log_offset",
        )?;
        let rows = statement.query_map([&self.version], |row| {
            Ok((SpaceId::from_bytes(row.get(0)?), row.get::<_, i64>(1)? as u64))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Takes a batch off the list: it was taken in.
    pub fn taken_in(&self, space: SpaceId, offset: u64) -> Result<(), AsideError> {
        self.connection
            .prepare_cached("DELETE FROM aside WHERE space = ? AND log_offset = ?")?
            .execute(params![space.as_bytes(), offset as i64])?;
        Ok(())
    }

    /// The batches that are set aside, by the list at this path; none if there is no list. Only reads.
    pub fn list(path: &Path) -> Result<BTreeSet<(SpaceId, u64)>, AsideError> {
        if Self::count(path)? == 0 {
            return Ok(BTreeSet::new());
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        let mut statement = connection.prepare("SELECT space, log_offset FROM aside")?;
        let rows = statement
            .query_map([], |row| Ok((SpaceId::from_bytes(row.get(0)?), row.get::<_, i64>(1)? as u64)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How many batches are set aside, by the list at this path; none if there is no list. Only reads.
    pub fn count(path: &Path) -> Result<u64, AsideError> {
        if !path.exists() {
            return Ok(0);
        }
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'aside'";
        if connection.query_row(tables, [], |row| row.get::<_, i64>(0))? == 0 {
            return Ok(0);
        }
        let count: i64 = connection.query_row("SELECT count(*) FROM aside", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const SPACE: SpaceId = SpaceId::from_bytes([7; 32]);
    const OTHER: SpaceId = SpaceId::from_bytes([8; 32]);

    fn path(dir: &tempfile::TempDir) -> std::path::PathBuf {
        dir.path().join("aside.db")
    }

    fn list(dir: &tempfile::TempDir, version: &str) -> Aside {
        Aside::open(&path(dir), version).unwrap()
    }

    fn die(aside: &mut Aside, first: u64, last: u64) {
        aside.begin(Attempt { space: SPACE, first, last }).unwrap();
        assert!(aside.count_death().unwrap().is_some());
    }

    #[test]
    fn a_death_among_many_batches_leads_to_one_at_a_time_and_then_to_the_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut aside = list(&dir, "1");
        assert_eq!(aside.caution(SPACE, 5).unwrap(), Caution::None);
        die(&mut aside, 3, 9);
        assert_eq!(aside.caution(SPACE, 2).unwrap(), Caution::None);
        assert_eq!(aside.caution(SPACE, 3).unwrap(), Caution::OneByOne);
        assert_eq!(aside.caution(OTHER, 5).unwrap(), Caution::None, "other spaces go on as before");
        assert_eq!(aside.next_caution(SPACE, 0).unwrap(), Some(3));
        assert_eq!(aside.next_caution(SPACE, 4).unwrap(), Some(5));
        assert_eq!(aside.next_caution(SPACE, 9).unwrap(), None);
        die(&mut aside, 5, 5);
        assert_eq!(aside.caution(SPACE, 5).unwrap(), Caution::OneByOne);
        die(&mut aside, 5, 5);
        assert_eq!(aside.caution(SPACE, 5).unwrap(), Caution::SetAside);
        assert_eq!(aside.caution(SPACE, 6).unwrap(), Caution::OneByOne);
    }

    #[test]
    fn a_worker_that_ended_its_attempt_accuses_no_batch() {
        let dir = tempfile::tempdir().unwrap();
        let mut aside = list(&dir, "1");
        aside.begin(Attempt { space: SPACE, first: 1, last: 1 }).unwrap();
        aside.end().unwrap();
        assert_eq!(aside.count_death().unwrap(), None);
    }

    #[test]
    fn the_next_version_tries_again_what_this_one_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Aside::count(&path(&dir)).unwrap(), 0, "before there is a list");
        let mut aside = list(&dir, "1");
        die(&mut aside, 5, 5);
        die(&mut aside, 5, 5);
        aside.set_aside(SPACE, 5).unwrap();
        assert_eq!(Aside::count(&path(&dir)).unwrap(), 1);
        assert!(aside.to_try_again().unwrap().is_empty());
        drop(aside);

        let aside = list(&dir, "2");
        assert_eq!(aside.caution(SPACE, 5).unwrap(), Caution::None);
        assert_eq!(aside.to_try_again().unwrap(), [(SPACE, 5)]);
        aside.taken_in(SPACE, 5).unwrap();
        assert_eq!(Aside::count(&path(&dir)).unwrap(), 0);
    }
}
