//! Adding changes to records: folded where there is one change, merged where there are more.
//!
//! A record's document is opened at most once in a transaction, and its row is written when the
//! transaction ends, however many changes came for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError};

use rusqlite::Connection;

use super::error::StoreError;
use super::ingest::EntryRefusal;
use super::observe::Changed;
use super::row::{self, Authors, Columns};
use super::{Inner, Writing};
use crate::batch::{Body, BodyEntry, Entry, SealedBatch};
use crate::document::{self, Document, Folded, MergeError, fold_first};
use crate::id::{ChangeHash, RecordId, SpaceId};

/// Opened bodies that are kept, for changes that are read one by one.
const BODIES_MAX: usize = 16;
/// Documents that one transaction keeps open.
const DOCUMENTS_MAX: usize = 256;

/// Bodies of batches read last, the newest in front.
#[derive(Debug, Default)]
pub(super) struct BodyCache(VecDeque<(i64, Arc<Body>)>);

impl BodyCache {
    fn find(&mut self, batch: i64) -> Option<Arc<Body>> {
        let at = self.0.iter().position(|(id, _)| *id == batch)?;
        let found = self.0.remove(at)?;
        self.0.push_front(found.clone());
        Some(found.1)
    }

    fn insert(&mut self, batch: i64, body: Arc<Body>) {
        self.0.push_front((batch, body));
        self.0.truncate(BODIES_MAX);
    }

    /// Forgets a body whose batch was rewritten.
    pub(super) fn remove(&mut self, batch: i64) {
        self.0.retain(|(id, _)| *id != batch);
    }

    /// Forgets everything: a rolled-back transaction's numbers will be given again.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Where the bytes of an entry are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Batch { batch: i64, entry: u32 },
    Pending(i64),
}

/// A record, named in full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    /// The number of its space.
    pub(super) space: i64,
    pub(super) space_id: SpaceId,
    pub(super) kind: &'a str,
    pub(super) record: RecordId,
}

impl Target<'_> {
    pub(super) fn changed(&self) -> Changed {
        Changed { space: self.space_id, kind: self.kind.to_owned(), id: self.record }
    }

    pub(super) fn name(&self) -> RecordName {
        let Self { space, space_id, kind, record } = *self;
        RecordName { space, space_id, kind: kind.to_owned(), record }
    }
}

/// A record, named in full and for longer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RecordName {
    /// The number of its space.
    pub(super) space: i64,
    pub(super) space_id: SpaceId,
    pub(super) kind: String,
    pub(super) record: RecordId,
}

impl RecordName {
    pub(super) fn target(&self) -> Target<'_> {
        let Self { space, space_id, kind, record } = self;
        Target { space: *space, space_id: *space_id, kind, record: *record }
    }
}

/// What became of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Applied,
    /// It was here already.
    Held,
    /// A change that it builds on is not here.
    Waits,
    Refused(EntryRefusal),
}

/// A record whose document is open in this transaction.
pub(super) struct OpenRecord {
    pub(super) document: Document,
    kind: String,
    pub(super) is_changed: bool,
}

impl Inner {
    /// The body of a batch, opened.
    pub(super) fn body(&self, connection: &Connection, batch: i64) -> Result<Arc<Body>, StoreError> {
        let mut bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(body) = bodies.find(batch) {
            return Ok(body);
        }
        let bytes: Vec<u8> = connection
            .prepare_cached("SELECT bytes FROM batch WHERE id = ?1")?
            .query_row([batch], |row| row.get(0))?;
        let body = SealedBatch::parse(bytes).and_then(|batch| batch.open());
        let body = Arc::new(body.map_err(|_| StoreError::Unreadable("a batch"))?);
        bodies.insert(batch, Arc::clone(&body));
        Ok(body)
    }

    /// The bytes of a change.
    pub(super) fn change_at(&self, connection: &Connection, place: Place) -> Result<Vec<u8>, StoreError> {
        match place {
            Place::Pending(id) => Ok(connection
                .prepare_cached("SELECT body FROM pending WHERE id = ?1")?
                .query_row([id], |row| row.get(0))?),
            Place::Batch { batch, entry } => {
                match self.body(connection, batch)?.entries.get(entry as usize) {
                    Some(BodyEntry::Present { entry: Entry::Change(entry), .. }) => Ok(entry.change.clone()),
                    Some(BodyEntry::Present { entry: Entry::Ancestor(entry), .. }) => {
                        Ok(entry.change.clone())
                    }
                    _ => Err(StoreError::Unreadable("a change's place")),
                }
            }
        }
    }

    /// The places of a record's changes.
    pub(super) fn places(connection: &Connection, row: i64) -> Result<Vec<Place>, StoreError> {
        let mut statement =
            connection.prepare_cached("SELECT batch, entry FROM record_entry WHERE record = ?1")?;
        let places = statement.query_map([row], |row| {
            let entry: i64 = row.get(1)?;
            Ok(match row.get(0)? {
                Some(batch) => Place::Batch { batch, entry: entry as u32 },
                None => Place::Pending(entry),
            })
        })?;
        Ok(places.collect::<Result<_, _>>()?)
    }

    /// A record's saved document, if it has one.
    pub(super) fn saved_document(
        &self,
        connection: &Connection,
        row: i64,
    ) -> Result<Option<Document>, StoreError> {
        let saved: Option<Vec<u8>> = connection
            .prepare_cached("SELECT doc FROM record WHERE id = ?1")?
            .query_row([row], |row| row.get(0))?;
        // A damaged document is only a cache: the changes are still in the batches.
        Ok(saved.and_then(|saved| Document::load(saved).ok()))
    }

    /// A record's document, opened from what was saved or built from its changes.
    pub(super) fn document(&self, connection: &Connection, row: i64) -> Result<Document, StoreError> {
        if let Some(document) = self.saved_document(connection, row)? {
            return Ok(document);
        }
        let changes = Self::places(connection, row)?
            .into_iter()
            .map(|place| self.change_at(connection, place))
            .collect::<Result<Vec<_>, _>>()?;
        Document::from_changes(changes.iter().map(Vec::as_slice))
            .map_err(|_| StoreError::Unreadable("a record's changes"))
    }
}

impl Writing<'_> {
    /// Adds one change, whose author is `chain`, to its record.
    pub(super) fn apply(
        &mut self,
        target: &Target<'_>,
        chain: i64,
        change: &Arc<document::Change>,
        raw: &[u8],
        place: Place,
    ) -> Result<Outcome, StoreError> {
        if let Ok(folded) = fold_first(change) {
            let columns = Columns::new(&folded.into(), &self.inner.kind(target.kind));
            if self.apply_first(target, chain, (change.seq, change.hash), &columns, place)? {
                return Ok(Outcome::Applied);
            }
        }
        let Some(row) = row::find_row(self.transaction, target.space, target.kind, target.record)? else {
            return Ok(Outcome::Waits);
        };
        let record = self.open_record(row, target.kind)?;
        if record.document.holds(&change.hash) {
            self.find_orphan(target, row, change.hash, place)?;
            return Ok(Outcome::Held);
        }
        let mut applied = record.document.join(change, raw);
        if let Err(MergeError::DuplicateSeq { seq }) = applied
            && self.make_way(target, row, chain, seq)?
        {
            applied = self.open_record(row, target.kind)?.document.join(change, raw);
        }
        match applied {
            Ok(()) => {
                self.mark_changed(row);
                self.insert_entry(row, chain, (change.seq, change.hash), place)?;
                self.changed.push(target.changed());
                Ok(Outcome::Applied)
            }
            Err(MergeError::MissingAncestor(_)) => Ok(Outcome::Waits),
            Err(MergeError::DuplicateSeq { .. }) => Ok(Outcome::Refused(EntryRefusal::SequenceReused)),
            Err(_) => Ok(Outcome::Refused(EntryRefusal::ContradictsAncestors)),
        }
    }

    /// Makes a record of its first change, by its number among its author's and its hash; `false` if there
    /// is one of this name.
    pub(super) fn apply_first(
        &mut self,
        target: &Target<'_>,
        chain: i64,
        change: (u64, ChangeHash),
        columns: &Columns,
        place: Place,
    ) -> Result<bool, StoreError> {
        let Target { space, kind, record, .. } = *target;
        let authors = Authors { created_by: chain, updated_by: chain };
        let row = row::insert(self.transaction, space, kind, record, columns, authors, self.revision)?;
        let Some(row) = row else { return Ok(false) };
        if columns.mentions {
            self.mentioning.push(row);
        }
        self.insert_entry(row, chain, change, place)?;
        self.changed.push(target.changed());
        Ok(true)
    }

    /// The record's document, open until the transaction ends.
    pub(super) fn open_record(&mut self, row: i64, kind: &str) -> Result<&mut OpenRecord, StoreError> {
        if !self.open.contains_key(&row) {
            if self.open.len() >= DOCUMENTS_MAX {
                self.flush()?;
            }
            let document = self.inner.document(self.transaction, row)?;
            self.open.insert(row, OpenRecord { document, kind: kind.to_owned(), is_changed: false });
        }
        Ok(self.open.get_mut(&row).expect("it was inserted if it was not there"))
    }

    /// Notes that the open document of a record has a change that its row does not show yet.
    pub(super) fn mark_changed(&mut self, row: i64) {
        if let Some(record) = self.open.get_mut(&row) {
            record.is_changed = true;
        }
    }

    pub(super) fn insert_entry(
        &self,
        row: i64,
        chain: i64,
        (seq, hash): (u64, ChangeHash),
        place: Place,
    ) -> Result<(), StoreError> {
        let (batch, entry) = match place {
            Place::Batch { batch, entry } => (Some(batch), i64::from(entry)),
            Place::Pending(id) => (None, id),
        };
        self.transaction
            .prepare_cached(
                "INSERT INTO record_entry (record, chain, seq, hash, batch, entry)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((row, chain, seq as i64, hash.as_bytes(), batch, entry))?;
        Ok(())
    }

    /// Writes the rows of all records that were changed, and closes them.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        for (row, record) in std::mem::take(&mut self.open) {
            if record.is_changed {
                let folded = record.document.fold();
                let (columns, authors) = self.columns(&folded, &record.kind)?;
                let document = Some(record.document.as_bytes());
                row::update(self.transaction, row, &columns, authors, self.revision, document)?;
                if columns.mentions {
                    self.mentioning.push(row);
                }
            }
        }
        Ok(())
    }

    pub(super) fn columns(&mut self, folded: &Folded, kind: &str) -> Result<(Columns, Authors), StoreError> {
        let created_by = self.actors.chain(self.transaction, folded.created.actor)?;
        let updated_by = self.actors.chain(self.transaction, folded.updated.actor)?;
        let columns = Columns::new(&folded.into(), &self.inner.kind(kind));
        Ok((columns, Authors { created_by, updated_by }))
    }
}

/// The documents that a transaction has open, by the number of their record.
pub(super) type OpenRecords = BTreeMap<i64, OpenRecord>;
