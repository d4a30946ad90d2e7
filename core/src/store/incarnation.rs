//! Which file this is: what it is called in the chains it writes, and how it finds out that it was
//! rolled back or copied.
//!
//! A database that comes back from a backup, or runs on a second phone, must not go on under its
//! name: the name's next numbers may stand for something else already. So a random token lies
//! beside the file, in no backup, and is renewed at each opening. Where it is missing or another
//! one, and where a relay knows more of this name than the file does, the file takes a new name: it
//! begins an *incarnation*.
//!
//! What it had recorded under the old name and not sealed is an *orphan*: shown as before, and not
//! sent, because it may have been sent already, by the file that this one is a copy of. Once the
//! space's log is known that far, [`Store::settle_orphans`] moves what is not found there to the
//! new name. What builds on an orphan is one itself; an SOS builds on none.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::error::StoreError;
use super::lock::beside;
use super::open::OpenError;
use super::{Store, StoreConfig, Writing, meta, set_meta, space};
use crate::batch::Lane;
use crate::id::{BatchId, Incarnation, RecordId, SpaceId};
use crate::position::OwnChain;

/// Bytes of a token.
const TOKEN_LEN: usize = 16;

type Token = [u8; TOKEN_LEN];

/// The names of the tokens in the table `meta`: the one that is beside the file, and the one that is
/// still there if writing it was cut off.
const TOKEN: &str = "token";
const TOKEN_BEFORE: &str = "token_before";

/// The token beside the database, if there is one whole.
fn read_token(path: &Path) -> io::Result<Option<Token>> {
    match fs::read(beside(path, ".token")) {
        Ok(bytes) => Ok(bytes.try_into().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a token beside the database: the old one or the new one is there, whatever happens.
fn write_token(path: &Path, token: &Token) -> io::Result<()> {
    let (name, next) = (beside(path, ".token"), beside(path, ".token-next"));
    let mut file = File::create(&next)?;
    file.write_all(token)?;
    file.sync_all()?;
    fs::rename(&next, &name)?;
    let directory = name.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

/// What an opened file is called. A file without a name gets one, and so does one whose token is
/// not beside it. A store in memory has no token, and a replica needs none: it writes no chain.
pub(super) fn name(transaction: &Transaction<'_>, config: &StoreConfig) -> Result<Incarnation, OpenError> {
    let database = |source| OpenError::Database { source };
    let held = meta(transaction, "incarnation").map_err(database)?;
    let Some(incarnation) = held.and_then(|bytes| Incarnation::from_slice(&bytes)) else {
        return rename(transaction, config).map_err(database);
    };
    let (Some(path), Some(_)) = (&config.path, &config.identity) else { return Ok(incarnation) };
    let beside =
        read_token(path).map_err(|source| OpenError::Io { attempted: "reading its token", source })?;
    for key in [TOKEN, TOKEN_BEFORE] {
        let known = meta(transaction, key).map_err(database)?;
        if beside.is_some() && known.as_deref() == beside.as_ref().map(|beside| &beside[..]) {
            return Ok(incarnation);
        }
    }
    tracing::warn!("the store was rolled back or copied: it goes on under a new name");
    rename(transaction, config).map_err(database)
}

/// Gives the file a new name. Nothing recorded under the old one is sealed until it is settled.
fn rename(transaction: &Transaction<'_>, config: &StoreConfig) -> rusqlite::Result<Incarnation> {
    let mut bytes = [0; Incarnation::LEN];
    (config.entropy)(&mut bytes);
    if let Some(before) = meta(transaction, "incarnation")? {
        let sql = "INSERT OR IGNORE INTO orphan (pending, incarnation) SELECT id, ?1 FROM pending";
        transaction.execute(sql, [before])?;
    }
    set_meta(transaction, "incarnation", &bytes)?;
    let sql = "INSERT INTO unsettled (space, read_again) SELECT id, 0 FROM space WHERE true
        ON CONFLICT DO UPDATE SET read_again = 0";
    transaction.execute(sql, ())?;
    Ok(Incarnation::from_bytes(bytes))
}

/// Puts a new token beside an opened file. Where that fails, as on a full disk, the old one must do:
/// it is the file's own, and whoever finds none takes another name once more.
pub(super) fn renew_token(connection: &mut Connection, config: &StoreConfig) {
    let (Some(path), Some(_)) = (&config.path, &config.identity) else { return };
    let noted = || -> rusqlite::Result<Token> {
        let beside = read_token(path).ok().flatten();
        let transaction = connection.transaction()?;
        let token = next_token(&transaction, config, beside)?;
        transaction.commit()?;
        Ok(token)
    };
    put_token(path, noted);
}

/// Writes the token that was noted.
fn put_token(path: &Path, note: impl FnOnce() -> rusqlite::Result<Token>) {
    let failed = match note().map(|token| write_token(path, &token)) {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(error = failed, "the store's token was not renewed");
}

/// Notes a new token, and the one that is beside the file until the new one is.
fn next_token(
    transaction: &Transaction<'_>,
    config: &StoreConfig,
    beside: Option<Token>,
) -> rusqlite::Result<Token> {
    let mut token = [0; TOKEN_LEN];
    (config.entropy)(&mut token);
    set_meta(transaction, TOKEN, &token)?;
    set_meta(transaction, TOKEN_BEFORE, beside.as_ref().map_or(&[][..], |beside| beside))?;
    Ok(token)
}

impl Store {
    /// Takes a new name, because something else was written under the present one: what is pending
    /// becomes orphans, and every space is unsettled.
    pub fn begin_incarnation(&self) -> Result<(), StoreError> {
        let config = &self.inner.config;
        if config.identity.is_none() {
            return Ok(());
        }
        let path = config.path.as_deref();
        // What cannot be read is renewed when the store is opened the next time.
        let beside = path.and_then(|path| read_token(path).ok().flatten());
        let token = self.inner.transaction(|writing| {
            writing.incarnation = Some(rename(writing.transaction, config)?);
            Ok::<_, StoreError>(next_token(writing.transaction, config, beside)?)
        })?;
        tracing::warn!("the store goes on under a new name");
        if let Some(path) = path {
            put_token(path, || Ok(token));
        }
        Ok(())
    }

    /// Spaces in which it is not known yet what of this device's work their log holds; or was not, when
    /// something was left an orphan.
    pub fn unsettled_spaces(&self) -> Result<Vec<SpaceId>, StoreError> {
        self.inner.read(|connection| {
            let sql = "SELECT s.space FROM space s WHERE s.id IN (SELECT space FROM unsettled)
                OR s.space IN (SELECT p.space FROM orphan o JOIN pending p ON p.id = o.pending)
                ORDER BY s.id";
            let mut statement = connection.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| Ok(SpaceId::from_bytes(row.get(0)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Whether a relay holds batches of this device, by these heights of its, that are not here: the
    /// space's log must be read before anything can be said of orphans.
    pub fn lacks_own(&self, space: SpaceId, at_relay: &[OwnChain]) -> Result<bool, StoreError> {
        self.inner.read(|connection| {
            for height in at_relay {
                if !is_held(connection, height)? {
                    return Ok(true);
                }
            }
            Ok(space::number(connection, space)?.is_none())
        })
    }

    /// Notes that a space's log has something of this device that is not here.
    pub(crate) fn unsettle(&self, space: SpaceId) -> Result<(), StoreError> {
        self.inner.transaction(|writing| {
            let sql = "INSERT INTO unsettled (space, read_again) SELECT id, 0 FROM space WHERE space = ?1
                ON CONFLICT DO NOTHING";
            writing.transaction.execute(sql, [space.as_bytes()])?;
            Ok(())
        })
    }

    /// Under which name this device wrote a batch, if it is its own and here.
    pub(crate) fn name_of_own(&self, batch: BatchId) -> Result<Option<Incarnation>, StoreError> {
        let Some(device) = self.device() else { return Ok(None) };
        self.inner.read(|connection| {
            let sql = "SELECT c.incarnation FROM batch b JOIN chain c ON c.id = b.chain
                WHERE b.batch = ?1 AND c.device = ?2";
            Ok(connection
                .prepare_cached(sql)?
                .query_row((batch.as_bytes(), device.as_bytes()), |row| {
                    row.get(0).map(Incarnation::from_bytes)
                })
                .optional()?)
        })
    }

    /// Has a space's log read from its beginning, once for each name of this file: a copy of this
    /// file with the same name wrote to it, and the relay does not send a name its own batches.
    /// False if that was done.
    pub fn read_again(&self, space: SpaceId) -> Result<bool, StoreError> {
        let is_first = self.inner.transaction(|writing| {
            let sql = "UPDATE unsettled SET read_again = 1
                WHERE read_again = 0 AND space = (SELECT id FROM space WHERE space = ?1)";
            Ok::<_, StoreError>(writing.transaction.execute(sql, [space.as_bytes()])? == 1)
        })?;
        if is_first {
            self.reset_cursor(space)?;
        }
        Ok(is_first)
    }
}

/// Whether a batch is here, and nothing else in its place.
fn is_held(connection: &Connection, height: &OwnChain) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM batch WHERE batch = ?1 AND state < 3)
        OR EXISTS (SELECT 1 FROM unread WHERE batch = ?1) OR EXISTS (SELECT 1 FROM set_aside WHERE batch = ?1)
        OR EXISTS (SELECT 1 FROM refused_batch WHERE batch = ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([height.batch.as_bytes()], |row| row.get(0))?)
}

impl Writing<'_> {
    /// Whether there are orphans at all: nearly never, and then nothing is looked up.
    pub(super) fn has_orphans(&mut self) -> Result<bool, StoreError> {
        if let Some(has_orphans) = self.has_orphans {
            return Ok(has_orphans);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM orphan)";
        let has_orphans = self.transaction.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        self.has_orphans = Some(has_orphans);
        Ok(has_orphans)
    }

    /// Whether a record shows an orphan of a space that is not settled: what is written on top of it must
    /// wait with it.
    pub(super) fn builds_on_orphan(
        &mut self,
        space: SpaceId,
        kind: &str,
        record: RecordId,
    ) -> Result<bool, StoreError> {
        if !self.has_orphans()? {
            return Ok(false);
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM pending p JOIN orphan o ON o.pending = p.id
            JOIN space s ON s.space = p.space JOIN unsettled u ON u.space = s.id
            WHERE p.record = ?1 AND p.kind = ?2 AND p.space = ?3)";
        Ok(self
            .transaction
            .prepare_cached(sql)?
            .query_row((record.as_bytes(), kind, space.as_bytes()), |row| row.get(0))?)
    }

    /// Makes orphans of all that one write put into a lane: it is sealed together.
    pub(super) fn orphan_group(&mut self, space: SpaceId, lane: Lane, group: i64) -> Result<(), StoreError> {
        let sql = "INSERT OR IGNORE INTO orphan (pending, incarnation) SELECT id, ?4 FROM pending
            WHERE space = ?1 AND lane = ?2 AND write_group = ?3";
        let incarnation = self.inner.incarnation();
        let values = (space.as_bytes(), lane as u8, group, incarnation.as_bytes());
        self.transaction.prepare_cached(sql)?.execute(values)?;
        self.has_orphans = Some(true);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
