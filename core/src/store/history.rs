//! What was done to one record, and what is in conflict in it: read from its changes.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};

use super::error::StoreError;
use super::ingest::FORK;
use super::merge::Place;
use super::write::{WriteError, WriteGroup};
use super::{Inner, Store, row, space};
use crate::clock::Timestamp;
use crate::document::{self, CAPTURE_KEY, WITHDRAWN_KEY, scan};
use crate::id::{ActorId, ChangeHash, DeviceId, OrganisationId, RecordId, SpaceId};
use crate::model::Value;

/// How far one change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Recorded here, and not signed yet.
    Pending,
    /// Signed, and on its way for all that is known.
    Sealed,
    /// The relay's log has it.
    Delivered,
    /// The relay has it in quarantine, or it is in quarantine here and counts for what builds on it.
    Quarantined,
}

/// One change of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// Its name.
    pub hash: ChangeHash,
    /// Who made it.
    pub device: DeviceId,
    /// Whose device that is, if it is known.
    pub organisation: Option<OrganisationId>,
    /// When, as the device claimed.
    pub time: Timestamp,
    /// Where the relay's log has it; not known of what was sent from here.
    pub offset: Option<u64>,
    /// When it came in here, or was sealed here, by this machine's clock.
    pub received_at: Option<Timestamp>,
    /// What it set and, with `None`, removed. A capture is given field by field.
    pub sets: Vec<(String, Option<Value>)>,
    /// How far it has come.
    pub delivery: Delivery,
}

/// A field with more than one value, all of them kept until somebody settles it.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldConflict {
    /// The field; the withdrawn flag's own name if some withdrew what others worked on.
    pub field: String,
    /// The different values, the one that is shown first.
    pub values: Vec<ConflictingValue>,
}

/// One of the values.
#[derive(Debug, Clone, PartialEq)]
pub struct ConflictingValue {
    /// The value; `None` if the field has none on this side.
    pub value: Option<Value>,
    /// Who wrote it.
    pub device: DeviceId,
    /// Whose device that is, if it is known.
    pub organisation: Option<OrganisationId>,
    /// When, as the device claimed.
    pub time: Timestamp,
}

impl Store {
    /// Everything that was done to a record: what was built upon comes first.
    pub fn history(&self, space: SpaceId, kind: &str, id: RecordId) -> Result<Vec<HistoryEntry>, StoreError> {
        self.inner.read(|connection| {
            let Some(row) = find(connection, space, kind, id)? else { return Ok(Vec::new()) };
            let mut entries = self
                .inner
                .changes(connection, row)?
                .into_iter()
                .map(|(place, change)| {
                    let order = (change.start_op, change.actor);
                    Ok((order, history_entry(connection, place, change)?))
                })
                .collect::<Result<Vec<_>, StoreError>>()?;
            // A change starts after everything that it builds on.
            entries.sort_by_key(|(order, _)| *order);
            Ok(entries.into_iter().map(|(_, entry)| entry).collect())
        })
    }

    /// The fields of a record that have more than one value.
    pub fn conflicts(
        &self,
        space: SpaceId,
        kind: &str,
        id: RecordId,
    ) -> Result<Vec<FieldConflict>, StoreError> {
        self.inner.read(|connection| {
            let Some(row) = find(connection, space, kind, id)? else { return Ok(Vec::new()) };
            let folded = self.inner.document(connection, row)?.fold();
            let mut conflicts = Vec::with_capacity(folded.conflicts.len());
            for conflict in folded.conflicts {
                let mut values = Vec::with_capacity(conflict.values.len());
                for side in conflict.values {
                    let (device, organisation) = author(connection, side.actor)?;
                    let (value, time) = (side.value, side.time);
                    values.push(ConflictingValue { value, device, organisation, time });
                }
                conflicts.push(FieldConflict { field: conflict.field, values });
            }
            Ok(conflicts)
        })
    }
}

impl Inner {
    fn changes(
        &self,
        connection: &Connection,
        row: i64,
    ) -> Result<Vec<(Place, document::Change)>, StoreError> {
        let places = Self::places(connection, row)?;
        let read = |place| {
            let change = scan(&self.change_at(connection, place)?);
            Ok((place, change.map_err(|_| StoreError::Unreadable("a change"))?))
        };
        places.into_iter().map(read).collect()
    }
}

/// What a record's fields were when a change had been made, and are now, the withdrawn flag among them.
type Replayed = BTreeMap<String, Option<Value>>;

impl WriteGroup<'_, '_> {
    /// Sets every field of a record back to what it was after a change, as the history lists them: the
    /// changes listed before it count, those behind it do not. They stay in the history. False if there
    /// is no such change.
    pub fn restore_to(
        &mut self,
        space: SpaceId,
        kind: &str,
        id: RecordId,
        change: ChangeHash,
    ) -> Result<bool, WriteError> {
        let number = self.space(space)?;
        let Some((record, history)) = self.read(|inner, connection| {
            let record = row::find_record(connection, number, kind, id)?;
            let row = row::find_row(connection, number, kind, id)?;
            Ok(record.zip(row.map(|row| inner.changes(connection, row)).transpose()?))
        })?
        else {
            return Err(WriteError::NotFound(id));
        };
        let mut changes: Vec<_> = history.into_iter().map(|(_, change)| change).collect();
        changes.sort_by_key(|change| (change.start_op, change.actor));
        let Some(at) = changes.iter().position(|held| held.hash == change) else { return Ok(false) };
        let then = replay(changes.drain(..=at));
        let mut puts = Replayed::new();
        for name in record.fields.keys().filter(|name| !then.contains_key(*name)) {
            puts.insert(name.clone(), None);
        }
        for (name, value) in then {
            let now = match name.as_str() {
                WITHDRAWN_KEY => Some(Value::Bool(record.withdrawn)),
                _ => record.fields.get(&name).cloned(),
            };
            if now != value {
                puts.insert(name, value);
            }
        }
        // Nobody had withdrawn it then.
        if record.withdrawn {
            puts.entry(WITHDRAWN_KEY.to_owned()).or_insert(Some(Value::Bool(false)));
        }
        self.edit(space, kind, id, &puts)?;
        Ok(true)
    }
}

fn replay(changes: impl Iterator<Item = document::Change>) -> Replayed {
    let mut fields = Replayed::new();
    for op in changes.flat_map(|change| change.ops) {
        match (op.key.as_str(), op.value) {
            (CAPTURE_KEY, Some(Value::Map(captured))) => {
                for (name, value) in captured {
                    // An edit of what was captured is newer than the capture.
                    fields.entry(name).or_insert(Some(value));
                }
            }
            (_, value) => {
                fields.insert(op.key, value);
            }
        }
    }
    fields
}

fn find(
    connection: &Connection,
    space: SpaceId,
    kind: &str,
    id: RecordId,
) -> Result<Option<i64>, StoreError> {
    match space::number(connection, space)? {
        Some(space) => row::find_row(connection, space, kind, id),
        None => Ok(None),
    }
}

fn history_entry(
    connection: &Connection,
    place: Place,
    change: document::Change,
) -> Result<HistoryEntry, StoreError> {
    let (device, organisation) = author(connection, change.actor)?;
    let (offset, received_at, delivery) = match place {
        Place::Pending(_) => (None, None, Delivery::Pending),
        Place::Batch { batch, .. } => connection
            .prepare_cached("SELECT log_offset, received_at, acknowledged, state FROM batch WHERE id = ?1")?
            .query_row([batch], |row| {
                let offset = row.get::<_, Option<i64>>(0)?.map(|offset| offset as u64);
                let delivery = match (row.get::<_, u8>(2)?, row.get::<_, u8>(3)?) {
                    (2, _) | (_, FORK..) => Delivery::Quarantined,
                    (0, _) => Delivery::Sealed,
                    _ => Delivery::Delivered,
                };
                Ok((offset, Some(Timestamp::from_millis(row.get(1)?)), delivery))
            })?,
    };
    let mut sets = Vec::with_capacity(change.ops.len());
    for op in change.ops {
        match (op.key.as_str(), op.value) {
            (CAPTURE_KEY, Some(Value::Map(captured))) => {
                sets.extend(captured.into_iter().map(|(name, value)| (name, Some(value))));
            }
            (_, value) => sets.push((op.key, value)),
        }
    }
    let (hash, time) = (change.hash, change.time);
    Ok(HistoryEntry { hash, device, organisation, time, offset, received_at, sets, delivery })
}

fn author(connection: &Connection, actor: ActorId) -> Result<(DeviceId, Option<OrganisationId>), StoreError> {
    connection
        .prepare_cached("SELECT device, organisation FROM chain WHERE actor = ?1")?
        .query_row([actor.as_bytes()], |row| {
            let organisation = row.get::<_, Option<[u8; 32]>>(1)?;
            Ok((DeviceId::from_bytes(row.get(0)?), organisation.map(OrganisationId::from_bytes)))
        })
        .optional()?
        .ok_or(StoreError::Unreadable("a change of an unknown chain"))
}

#[cfg(test)]
mod tests;
