//! The history of one record: who changed what, when it was claimed and when it was received.

use barid_core::document::WITHDRAWN_KEY;
use barid_core::id::{RecordId, SpaceId};
use barid_core::model::Value;
use barid_core::store::HistoryEntry;

use super::events::{ChangeKind, History, HistoryItem, SetField};
use super::shape::{json, rfc3339};
use super::{View, ViewError};

impl View {
    /// Everything that was ever changed in a record, the oldest first.
    pub fn history(&self, space: SpaceId, kind: &str, id: RecordId) -> Result<Option<History>, ViewError> {
        if self.store.get(space, kind, id)?.is_none() {
            return Ok(None);
        }
        let entries = self.store.history(space, kind, id)?;
        let mut items = Vec::with_capacity(entries.len());
        for (place, entry) in entries.into_iter().enumerate() {
            items.push(self.history_item(space, place, entry)?);
        }
        Ok(Some(History { items }))
    }

    fn history_item(
        &self,
        space: SpaceId,
        place: usize,
        entry: HistoryEntry,
    ) -> Result<HistoryItem, ViewError> {
        let received_at = match entry.offset {
            Some(offset) => self.log.received_at(space, offset)?,
            None => None,
        };
        let kind = kind_of(place, &entry);
        let (mut sets, mut removes) = (Vec::new(), Vec::new());
        for (field, value) in entry.sets {
            match value {
                Some(value) => sets.push(SetField { field, value: json(&value) }),
                None => removes.push(field),
            }
        }
        Ok(HistoryItem {
            change: entry.hash.to_string(),
            at: rfc3339(entry.time),
            received_at: received_at.map(rfc3339),
            device: entry.device.to_string(),
            device_label: self.names.label(entry.device),
            organisation: self.names.organisation_of(entry.device),
            sets,
            removes,
            kind,
        })
    }
}

fn kind_of(place: usize, entry: &HistoryEntry) -> ChangeKind {
    let withdrawn = entry.sets.iter().find(|(field, _)| field == WITHDRAWN_KEY);
    match withdrawn {
        Some((_, Some(Value::Bool(true)))) => ChangeKind::Withdrawn,
        Some(_) => ChangeKind::Restored,
        None if place == 0 => ChangeKind::Created,
        None => ChangeKind::Edited,
    }
}
