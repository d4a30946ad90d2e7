//! The file of the attachments: what is known of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, TransactionBehavior};

use super::super::error::StoreError;
use super::super::key::{DatabaseKey, connect};
use super::super::observe::Changed;
use super::super::schema::{self, Durability};
use super::{Attachment, AttachmentState, UnsentAttachments};
use crate::attachment::{AttachmentName, AttachmentRefusal, Mention};
use crate::id::{AttachmentHash, RecordId, SpaceId};
use crate::migration::{self, MigrationError};

const STEPS: &[&str] = &[include_str!("0001_first.sql")];

/// How far an attachment is, as its row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    Wanted = 0,
    ToSend = 1,
    Delivered = 2,
    Absent = 3,
    Attaching = 4,
}

/// What is known of one attachment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) id: i64,
    pub(super) len: u64,
    pub(super) held_len: u64,
    pub(super) state: State,
    pub(super) refusal: Option<AttachmentRefusal>,
}

#[derive(Debug)]
pub(in crate::store) struct Album {
    pub(super) connection: Connection,
    /// Bytes that the relay said it holds of what is being sent.
    pub(super) there: BTreeMap<AttachmentName, u64>,
}

impl Album {
    /// Opens the file, or makes it; in memory without a path. The key is the database's, which fitted
    /// that: a file that it does not fit is damaged.
    pub(super) fn open(path: Option<&Path>, key: Option<&DatabaseKey>) -> Result<Self, StoreError> {
        let mut connection = match path {
            Some(path) => connect(path, OpenFlags::default(), key)?,
            None => Connection::open_in_memory()?,
        };
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        schema::prepare_writer(&connection, Durability::Relaxed)?;
        connection.pragma_update(None, "cache_size", -2_000)?; // KiB: hardly anything is read twice
        migration::migrate(&mut connection, STEPS).map_err(|error| match error {
            MigrationError::Database { source, .. } => StoreError::Database(source),
            MigrationError::TooNew { .. } => StoreError::Unreadable("a newer program's attachments"),
        })?;
        Ok(Self { connection, there: BTreeMap::new() })
    }

    /// The records that mention something.
    pub(super) fn mentioning(&self) -> Result<BTreeSet<(SpaceId, RecordId)>, StoreError> {
        let mut statement = self.connection.prepare("SELECT DISTINCT space, record FROM mention")?;
        let rows = statement
            .query_map([], |row| Ok((SpaceId::from_bytes(row.get(0)?), RecordId::from_bytes(row.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One transaction, as durable as it must be.
    pub(super) fn transaction<T>(
        &mut self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        schema::set_durability(&self.connection, durability)?;
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    pub(super) fn find(&self, name: AttachmentName) -> Result<Option<Found>, StoreError> {
        find(&self.connection, name)
    }

    /// Where the bytes of an attachment are.
    fn state(&self, name: AttachmentName) -> Result<AttachmentState, StoreError> {
        Ok(match self.find(name)? {
            None => AttachmentState::Remote,
            Some(found) => match found.state {
                State::Absent => AttachmentState::Remote,
                State::Wanted => AttachmentState::Fetching { held_len: found.held_len },
                State::Delivered => AttachmentState::Delivered,
                State::ToSend | State::Attaching => AttachmentState::Local {
                    sent_len: self.there.get(&name).copied().unwrap_or(0),
                    refusal: found.refusal,
                },
            },
        })
    }

    /// What a record mentions, and where that is.
    pub(super) fn attachment(&self, space: SpaceId, mention: &Mention) -> Result<Attachment, StoreError> {
        let thumbnail = match mention.thumbnail {
            Some((hash, _)) => Some((hash, self.state((space, hash))?)),
            None => None,
        };
        let (hash, media, len) = (mention.hash, mention.media, mention.len);
        Ok(Attachment { hash, media, len, state: self.state((space, hash))?, thumbnail })
    }

    /// The records that mention an attachment, to be told of.
    pub(super) fn records_of(&self, (space, hash): AttachmentName) -> Result<Vec<Changed>, StoreError> {
        let sql = "SELECT kind, record FROM mention WHERE space = ?1 AND hash = ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map((space.as_bytes(), hash.as_bytes()), |row| {
            Ok(Changed { space, kind: row.get(0)?, id: RecordId::from_bytes(row.get(1)?) })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(super) fn unsent(&self) -> Result<UnsentAttachments, StoreError> {
        let sql = "SELECT count(*) FILTER (WHERE is_thumbnail = 0), coalesce(sum(len), 0)
            FROM attachment WHERE state = 1";
        let (attachments, len) = self
            .connection
            .prepare_cached(sql)?
            .query_row([], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)))?;
        let there: u64 = self.there.values().sum();
        Ok(UnsentAttachments { attachments, len: len.saturating_sub(there) })
    }

    /// Wants an attachment that a record mentions. False if it is here, or wanted already.
    pub(super) fn want(&mut self, name: AttachmentName) -> Result<bool, StoreError> {
        self.transaction(Durability::Relaxed, |connection| want(connection, name, 0, false))
    }

    /// What was attached is mentioned by its record now.
    pub(super) fn settle_attached(&mut self, name: AttachmentName) -> Result<(), StoreError> {
        set_state(&self.connection, name, State::Attaching, State::ToSend)
    }
}

/// Wants an attachment whose length is not known for sure; false if it is here, or wanted already.
pub(super) fn want(
    connection: &Connection,
    (space, hash): AttachmentName,
    len: u64,
    is_thumbnail: bool,
) -> Result<bool, StoreError> {
    let sql = "INSERT INTO attachment (space, hash, len, is_thumbnail, held_len, state)
        VALUES (?1, ?2, ?3, ?4, 0, 0) ON CONFLICT DO UPDATE SET state = 0, held_len = 0 WHERE state = 3";
    let values = (space.as_bytes(), hash.as_bytes(), len as i64, is_thumbnail);
    Ok(connection.prepare_cached(sql)?.execute(values)? > 0)
}

pub(super) fn set_state(
    connection: &Connection,
    (space, hash): AttachmentName,
    from: State,
    to: State,
) -> Result<(), StoreError> {
    let sql = "UPDATE attachment SET state = ?4 WHERE space = ?1 AND hash = ?2 AND state = ?3";
    let values = (space.as_bytes(), hash.as_bytes(), from as u8, to as u8);
    connection.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

pub(super) fn find(
    connection: &Connection,
    (space, hash): AttachmentName,
) -> Result<Option<Found>, StoreError> {
    let sql = "SELECT id, len, held_len, state, refusal FROM attachment WHERE space = ?1 AND hash = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row((space.as_bytes(), hash.as_bytes()), read).optional()?;
    Ok(found)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Found> {
    let number = |column| row.get::<_, i64>(column).map(|number| number as u64);
    Ok(Found {
        id: row.get(0)?,
        len: number(1)?,
        held_len: number(2)?,
        state: match row.get::<_, u8>(3)? {
            0 => State::Wanted,
            1 => State::ToSend,
            2 => State::Delivered,
            4 => State::Attaching,
            _ => State::Absent,
        },
        refusal: row.get::<_, Option<u8>>(4)?.and_then(AttachmentRefusal::from_code),
    })
}

/// A name as rows have it.
pub(super) fn read_name(row: &Row<'_>) -> rusqlite::Result<AttachmentName> {
    Ok((SpaceId::from_bytes(row.get(0)?), AttachmentHash::from_bytes(row.get(1)?)))
}
