//! Recording: what a device puts, edits and withdraws, durable when `write` returns.
//!
//! Everything that one `write` does is one transaction and one fsync, and travels together: it is
//! sealed into one batch a lane and applied whole wherever it arrives. Nothing is signed here; a
//! change is *pending* until a link wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::Connection;

use super::chain::{self, ChainKey};
use super::error::StoreError;
use super::merge::{Outcome, Place, Target};
use super::observe::{Changed, TRACK};
use super::row::{self, Record};
use super::{Inner, Store, Writing, space, track};
use crate::batch::{BODY_HEAD_LEN, Entry, Lane};
use crate::clock::Timestamp;
use crate::document::{self, EditError, WITHDRAWN_KEY, create, scan};
use crate::id::{ActorId, RecordId, SpaceId};
use crate::limits::{BATCH_ENTRIES_MAX, BATCH_RAW_LEN_MAX, KIND_LEN_MAX};
use crate::model::track::TrackError;
use crate::model::{Fields, TrackChunk, Value};

/// Bytes of a change's entry besides its kind and the change: tag, flags, record id, kind length.
const CHANGE_ENTRY_HEAD_LEN: usize = 19;

/// Something cannot be recorded. Nothing of the whole `write` was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The store is a replica, which records nothing of its own.
    #[error("recording: this store has no identity")]
    NoIdentity,
    /// The space was not joined.
    #[error("recording: the space {0} was not joined")]
    UnknownSpace(SpaceId),
    /// There is no such record to edit.
    #[error("recording: there is no record {0} of this kind in this space")]
    NotFound(RecordId),
    /// The record, or the patrol's track, was erased, and stays so.
    #[error("recording: {0} was erased in this space")]
    Erased(RecordId),
    /// An earlier change of this device to the record stands nowhere, because what it builds on does not;
    /// under the present name of the database nothing can follow it.
    #[error("recording: an earlier change of the record {0} by this device does not stand")]
    Superseded(RecordId),
    /// The kind's name is empty, too long or reserved.
    #[error("recording: the kind's name is empty, too long or reserved")]
    Kind,
    /// The fields cannot be stored.
    #[error("recording: the fields cannot be stored")]
    Fields(#[from] EditError),
    /// The track chunk cannot be stored.
    #[error("recording: the track chunk cannot be stored")]
    Track(#[from] TrackError),
    /// One write does more than one batch can carry.
    #[error("recording: one write is more than one batch can carry")]
    TooMuch,
    /// Something earlier in the write failed halfway, and the closure passed over the error.
    #[error("recording: an error earlier in this write was passed over")]
    PassedOver,
    /// The database failed.
    #[error("recording: the store failed")]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// How much of a batch one write fills in one lane.
#[derive(Debug, Default)]
struct Filled {
    entries: usize,
    len: usize,
}

/// One write: everything done through it is kept together, or not at all.
pub struct WriteGroup<'a, 'b> {
    pub(super) writing: &'a mut Writing<'b>,
    pub(super) now: Timestamp,
    filled: BTreeMap<(SpaceId, Lane), Filled>,
    /// Lanes into which something was written that builds on an orphan.
    orphaned: BTreeSet<(SpaceId, Lane)>,
    /// Something is half-done, so the whole write must not be kept.
    is_broken: bool,
}

impl std::fmt::Debug for WriteGroup<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteGroup").field("filled", &self.filled).finish_non_exhaustive()
    }
}

impl Store {
    /// Records everything that the closure does, in one transaction. It is durable when this
    /// returns. The closure must read through the group, not through the store.
    pub fn write<T>(
        &self,
        write: impl FnOnce(&mut WriteGroup<'_, '_>) -> Result<T, WriteError>,
    ) -> Result<T, WriteError> {
        if self.inner.identity().is_none() {
            return Err(WriteError::NoIdentity);
        }
        self.inner.transaction(|writing| {
            let now = self.inner.now();
            let (filled, orphaned) = (BTreeMap::new(), BTreeSet::new());
            let mut group = WriteGroup { writing, now, filled, orphaned, is_broken: false };
            let written = write(&mut group)?;
            if group.is_broken() {
                return Err(WriteError::PassedOver);
            }
            let WriteGroup { writing, orphaned, .. } = group;
            for (space, lane) in orphaned {
                writing.orphan_group(space, lane, writing.revision)?;
            }
            Ok(written)
        })
    }
}

impl WriteGroup<'_, '_> {
    /// Makes a record, under this id or a new one. If there is one of this id, its fields are set
    /// and those not given stay.
    pub fn put(
        &mut self,
        space: SpaceId,
        kind: &str,
        id: Option<RecordId>,
        fields: Fields,
    ) -> Result<RecordId, WriteError> {
        let number = self.space(space)?;
        if kind.is_empty() || kind.len() > KIND_LEN_MAX || kind == TRACK {
            return Err(WriteError::Kind);
        }
        if let Some(id) = id
            && row::find_row(self.writing.transaction, number, kind, id)?.is_some()
        {
            let puts = fields.into_iter().map(|(name, value)| (name, Some(value))).collect();
            return self.patch(space, kind, id, puts).map(|()| id);
        }
        let id = id.unwrap_or_else(|| RecordId::new(self.now, self.writing.inner.random()));
        self.check_not_erased(space, kind, id)?;
        let schema = self.writing.inner.kind(kind).into_owned();
        self.put_first(space, kind, id, |actor, now| create(actor, now, &schema, &fields))?;
        Ok(id)
    }

    /// Makes a record of the first change that the closure writes.
    pub(super) fn put_first(
        &mut self,
        space: SpaceId,
        kind: &str,
        id: RecordId,
        create: impl FnOnce(ActorId, Timestamp) -> Result<Vec<u8>, EditError>,
    ) -> Result<(), WriteError> {
        let number = self.space(space)?;
        let lane = self.writing.inner.kind(kind).lane;
        let (chain, actor) = self.own_chain(number, space, lane)?;
        let target = Target { space: number, space_id: space, kind, record: id };
        self.check_not_superseded(&target, chain)?;
        let raw = create(actor, self.now)?;
        let change = Arc::new(read_back(&raw)?);
        self.whole(|w| {
            let place = w.insert_pending(&target, lane, &raw)?;
            match w.writing.apply(&target, chain, &change, &raw, place)? {
                Outcome::Applied => Ok(()),
                _ => Err(StoreError::Unreadable("a record that was just made").into()),
            }
        })
    }

    /// Sets and, with `None`, removes fields of a record. Setting a field that is in conflict
    /// settles the conflict.
    pub fn patch(
        &mut self,
        space: SpaceId,
        kind: &str,
        id: RecordId,
        puts: BTreeMap<String, Option<Value>>,
    ) -> Result<(), WriteError> {
        if puts.contains_key(WITHDRAWN_KEY) {
            return Err(EditError::ReservedName.into());
        }
        self.edit(space, kind, id, &puts)
    }

    /// Takes a record back. It stays in the store, and stays visible if somebody else worked on it
    /// meanwhile.
    pub fn withdraw(&mut self, space: SpaceId, kind: &str, id: RecordId) -> Result<(), WriteError> {
        self.set_withdrawn(space, kind, id, true)
    }

    /// Brings a withdrawn record back.
    pub fn restore(&mut self, space: SpaceId, kind: &str, id: RecordId) -> Result<(), WriteError> {
        self.set_withdrawn(space, kind, id, false)
    }

    /// Adds a run of positions. One of an id that is already there changes nothing.
    pub fn add_track(&mut self, space: SpaceId, chunk: TrackChunk) -> Result<(), WriteError> {
        let number = self.space(space)?;
        let (chain, _) = self.own_chain(number, space, Lane::Bulk)?;
        let body = chunk.to_bytes()?;
        self.check_not_erased(space, TRACK, chunk.patrol)?;
        let device = self.writing.inner.identity().ok_or(WriteError::NoIdentity)?.device();
        if track::is_held(self.writing.transaction, number, device, chunk.id, &body)? {
            return Ok(());
        }
        self.whole(|w| {
            if track::insert(w.writing.transaction, number, chain, &chunk, &body, None)? != Outcome::Applied {
                return Ok(());
            }
            w.fill(space, Lane::Bulk, 1 + body.len())?;
            let changed = Changed { space, kind: TRACK.to_owned(), id: chunk.patrol };
            w.insert_pending_row(space, Lane::Bulk, None, chunk.id, &body)?;
            w.writing.changed.push(changed);
            Ok(())
        })
    }

    /// A record as it is now, with what this write has done to it.
    pub fn get(&mut self, space: SpaceId, kind: &str, id: RecordId) -> Result<Option<Record>, WriteError> {
        let number = self.space(space)?;
        self.writing.flush()?;
        Ok(row::find_record(self.writing.transaction, number, kind, id)?)
    }

    /// Reads the database with what this write has done to it.
    pub(super) fn read<T>(
        &mut self,
        read: impl FnOnce(&Inner, &Connection) -> Result<T, StoreError>,
    ) -> Result<T, WriteError> {
        self.writing.flush()?;
        Ok(read(self.writing.inner, self.writing.transaction)?)
    }

    fn set_withdrawn(
        &mut self,
        space: SpaceId,
        kind: &str,
        id: RecordId,
        withdrawn: bool,
    ) -> Result<(), WriteError> {
        let puts = BTreeMap::from([(WITHDRAWN_KEY.to_owned(), Some(Value::Bool(withdrawn)))]);
        self.edit(space, kind, id, &puts)
    }

    pub(super) fn edit(
        &mut self,
        space: SpaceId,
        kind: &str,
        id: RecordId,
        puts: &BTreeMap<String, Option<Value>>,
    ) -> Result<(), WriteError> {
        let number = self.space(space)?;
        let row = row::find_row(self.writing.transaction, number, kind, id)?;
        let row = row.ok_or(WriteError::NotFound(id))?;
        let lane = self.writing.inner.kind(kind).lane;
        let (chain, actor) = self.own_chain(number, space, lane)?;
        let now = self.now;
        let target = Target { space: number, space_id: space, kind, record: id };
        self.check_not_superseded(&target, chain)?;
        let record = self.writing.open_record(row, kind)?;
        let Some(raw) = record.document.edit(actor, now, puts)? else { return Ok(()) };
        // The open document has the change by now.
        self.whole(|w| {
            let change = read_back(&raw)?;
            let place = w.insert_pending(&target, lane, &raw)?;
            w.writing.insert_entry(row, chain, (change.seq, change.hash), place)?;
            w.writing.mark_changed(row);
            w.writing.changed.push(target.changed());
            Ok(())
        })
    }

    fn check_not_erased(&self, space: SpaceId, kind: &str, record: RecordId) -> Result<(), WriteError> {
        let is_erased = self.writing.inner.membership(space).is_erased(kind, record);
        if is_erased { Err(WriteError::Erased(record)) } else { Ok(()) }
    }

    /// Two changes under one sequence number would never both stand.
    fn check_not_superseded(&mut self, target: &Target<'_>, chain: i64) -> Result<(), WriteError> {
        if !self.writing.is_unsettled(target)? {
            return Ok(());
        }
        let sql = "SELECT EXISTS (SELECT 1 FROM held_entry WHERE space = ?1 AND kind = ?2 AND record = ?3
            AND chain = ?4 AND state <> 1)";
        let key = (target.space, target.kind, target.record.as_bytes(), chain);
        let is_superseded = self.writing.transaction.prepare_cached(sql)?.query_row(key, |row| row.get(0))?;
        if is_superseded { Err(WriteError::Superseded(target.record)) } else { Ok(()) }
    }

    /// Does what must be done to its end, or spoil the write.
    fn whole<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, WriteError>) -> Result<T, WriteError> {
        self.is_broken = true;
        let done = step(self)?;
        self.is_broken = false;
        Ok(done)
    }

    /// SQLite itself ends a transaction on some errors; what follows would be kept one by one.
    fn is_broken(&self) -> bool {
        self.is_broken || self.writing.transaction.is_autocommit()
    }

    /// The number of a space. Whatever a write does begins by asking for it.
    pub(super) fn space(&self, space: SpaceId) -> Result<i64, WriteError> {
        if self.is_broken() {
            return Err(WriteError::PassedOver);
        }
        space::number(self.writing.transaction, space)?.ok_or(WriteError::UnknownSpace(space))
    }

    /// The number of the chain that this store writes in a lane, and its actor.
    fn own_chain(&self, number: i64, space: SpaceId, lane: Lane) -> Result<(i64, ActorId), WriteError> {
        let inner = self.writing.inner;
        let device = inner.identity().ok_or(WriteError::NoIdentity)?.device();
        let key = ChainKey { device, incarnation: inner.incarnation(), space, lane };
        let organisation = space::organisation_of(&inner.membership(space), device);
        let chain = chain::find_or_insert(self.writing.transaction, number, &key, organisation)?;
        Ok((chain.id, key.actor()))
    }

    fn insert_pending(&mut self, target: &Target<'_>, lane: Lane, raw: &[u8]) -> Result<Place, WriteError> {
        self.fill(target.space_id, lane, CHANGE_ENTRY_HEAD_LEN + target.kind.len() + raw.len())?;
        if self.writing.builds_on_orphan(target.space_id, target.kind, target.record)? {
            self.orphaned.insert((target.space_id, lane));
        }
        let id = self.insert_pending_row(target.space_id, lane, Some(target.kind), target.record, raw)?;
        Ok(Place::Pending(id))
    }

    fn insert_pending_row(
        &self,
        space: SpaceId,
        lane: Lane,
        kind: Option<&str>,
        record: RecordId,
        body: &[u8],
    ) -> Result<i64, WriteError> {
        let transaction = self.writing.transaction;
        let sql = "INSERT INTO pending (space, lane, write_group, kind, record, body)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        transaction.prepare_cached(sql)?.execute((
            space.as_bytes(),
            lane as u8,
            // One transaction is one group, and each has its own revision.
            self.writing.revision,
            kind,
            record.as_bytes(),
            body,
        ))?;
        Ok(transaction.last_insert_rowid())
    }

    /// Refuses a write that one batch could not carry, now and not when it is sealed.
    fn fill(&mut self, space: SpaceId, lane: Lane, encoded_len: usize) -> Result<(), WriteError> {
        let filled = self.filled.entry((space, lane)).or_default();
        filled.entries += 1;
        filled.len += Entry::len_in_body(encoded_len);
        if filled.entries > BATCH_ENTRIES_MAX || BODY_HEAD_LEN + filled.len > BATCH_RAW_LEN_MAX {
            return Err(WriteError::TooMuch);
        }
        Ok(())
    }
}

/// Every change is scanned before it is stored, so that a mistake fails here and not at the relay.
fn read_back(raw: &[u8]) -> Result<document::Change, WriteError> {
    Ok(scan(raw).map_err(|_| StoreError::Unreadable("a change that was just made"))?)
}

#[cfg(test)]
mod tests;
