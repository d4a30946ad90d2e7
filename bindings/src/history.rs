//! What was done to a record, and what nobody has decided between.

use barid_core::id::ChangeHash;
use barid_core::store;

use crate::error::BaridError;
use crate::records::{RecordKey, Records, parse, parts};
use crate::value::FieldValue;

/// One change of a record.
#[derive(Debug, Clone, uniffi::Record)]
pub struct HistoryEntry {
    /// The change's hash.
    pub change: String,
    /// The device that wrote it.
    pub device: String,
    /// When, by that device's clock.
    pub time_ms: i64,
    /// The fields it set; nothing where it removed one.
    pub sets: Vec<FieldSet>,
}

/// A field that a change set.
#[derive(Debug, Clone, uniffi::Record)]
pub struct FieldSet {
    /// The field.
    pub field: String,
    /// Its value; nothing if the change removed it.
    pub value: Option<FieldValue>,
}

/// A field with values that were written without knowing of one another.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Conflict {
    /// The field.
    pub field: String,
    /// The values, the one shown first.
    pub values: Vec<ConflictValue>,
}

/// One of the values of a conflict.
#[derive(Debug, Clone, uniffi::Record)]
pub struct ConflictValue {
    /// The value; nothing if the field was removed.
    pub value: Option<FieldValue>,
    /// The device that wrote it.
    pub device: String,
    /// When, by that device's clock.
    pub time_ms: i64,
}

#[uniffi::export]
impl Records {
    /// Every change of a record, the oldest first.
    pub fn history(&self, key: RecordKey) -> Result<Vec<HistoryEntry>, BaridError> {
        let (space, id) = parts(&key)?;
        let entries = self.opened().device()?.shown()?.history(space, &key.kind, id)?;
        Ok(entries.into_iter().map(HistoryEntry::from).collect())
    }

    /// The record's fields that nobody has decided between.
    pub fn conflicts(&self, key: RecordKey) -> Result<Vec<Conflict>, BaridError> {
        let (space, id) = parts(&key)?;
        let conflicts = self.opened().device()?.shown()?.conflicts(space, &key.kind, id)?;
        Ok(conflicts.into_iter().map(Conflict::from).collect())
    }

    /// Sets every field back to what it was after a change, as the history lists them. What came later
    /// stays in the history.
    pub fn restore_to(&self, key: RecordKey, change: String) -> Result<(), BaridError> {
        let (space, id) = parts(&key)?;
        let change: ChangeHash = parse(&change)?;
        // Whoever is shown nothing can choose nothing.
        let device = self.opened().device()?;
        let restored = device.shown()?.write(|group| group.restore_to(space, &key.kind, id, change))?;
        if restored { Ok(()) } else { Err(BaridError::NotFound) }
    }
}

impl From<store::HistoryEntry> for HistoryEntry {
    fn from(entry: store::HistoryEntry) -> Self {
        Self {
            change: entry.hash.to_string(),
            device: entry.device.to_string(),
            time_ms: entry.time.as_millis(),
            sets: entry
                .sets
                .into_iter()
                .map(|(field, value)| FieldSet { field, value: value.map(FieldValue::from) })
                .collect(),
        }
    }
}

impl From<store::FieldConflict> for Conflict {
    fn from(conflict: store::FieldConflict) -> Self {
        Self {
            field: conflict.field,
            values: conflict
                .values
                .into_iter()
                .map(|value| ConflictValue {
                    value: value.value.map(FieldValue::from),
                    device: value.device.to_string(),
                    time_ms: value.time.as_millis(),
                })
                .collect(),
        }
    }
}
