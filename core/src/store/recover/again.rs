//! Writes again, as this file's own, what a damaged file of the same device had recorded.
//!
//! A change's bytes cannot be kept: they name the old file as their author. Its values and its time
//! are. What was one write is one write again.

use std::collections::BTreeMap;

use super::catalogue::{Adds, BatchKey, Catalogue, FoundPending, PendingKey, Trust};
use super::pages::DamagedFile;
use super::plan::{Newest, read_body, read_entries};
use crate::batch::Entry;
use crate::document::{self, CAPTURE_KEY, Change, NewChange, Op, WITHDRAWN_KEY};
use crate::id::{RecordId, SpaceId};
use crate::model::{Fields, TrackChunk, Value};
use crate::store::write::{WriteError, WriteGroup};
use crate::store::{Store, row};

/// One thing to write again.
#[derive(Debug)]
pub(super) enum Again {
    Change { space: SpaceId, kind: String, record: RecordId, change: Change },
    Track { space: SpaceId, chunk: TrackChunk },
}

/// What became of it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Counts {
    pub(super) written: u64,
    pub(super) failed: u64,
}

/// The writes of a batch.
pub(super) fn of_batch(file: &DamagedFile, catalogue: &Catalogue, key: &BatchKey) -> Vec<Vec<Again>> {
    let mut writes = vec![Vec::new()];
    for entry in read_entries(file, catalogue, key) {
        let (again, continues) = match entry {
            Entry::Change(entry) => {
                let Ok(change) = document::scan(&entry.change) else { continue };
                let (space, kind, record) = (key.space, entry.kind, entry.record);
                (Again::Change { space, kind, record, change }, entry.continues)
            }
            Entry::Track(chunk) => (Again::Track { space: key.space, chunk }, false),
            _ => continue,
        };
        let write = writes.last_mut().expect("there is always one to add to");
        write.push(again);
        if !continues {
            writes.push(Vec::new());
        }
    }
    writes
}

/// The pending rows that were one write, in front of those given.
pub(super) fn next_write<'a>(
    catalogue: &'a Catalogue,
    pending: &mut &[PendingKey],
) -> Option<Vec<&'a FoundPending>> {
    let found = |key: &PendingKey| catalogue.pending.get(key);
    let write = found(pending.first()?)?.write_group;
    let len = pending.iter().take_while(|key| found(key).is_some_and(|f| f.write_group == write)).count();
    let (these, rest) = pending.split_at(len);
    *pending = rest;
    Some(these.iter().filter_map(found).collect())
}

/// What a pending row wrote; `None` if everything in it was written over since.
pub(super) fn of_pending(file: &DamagedFile, newest: &Newest, found: &FoundPending) -> Option<Again> {
    let body = read_body(file, found)?;
    let (space, record) = (found.space, found.record);
    let Adds::Change { kind, .. } = &found.adds else {
        return Some(Again::Track { space, chunk: TrackChunk::from_bytes(&body).ok()? });
    };
    let mut change = document::scan(&body).ok()?;
    if found.trust == Trust::Past {
        let mut counters = change.start_op..;
        change.ops.retain(|op| {
            let counter = counters.next().unwrap_or(u64::MAX);
            !newest.is_after(space, record, &op.key, counter)
        });
    }
    (!change.ops.is_empty()).then(|| Again::Change { space, kind: kind.clone(), record, change })
}

/// Writes together what was written together; if that cannot be, one by one.
pub(super) fn write(store: &Store, group: &[Again]) -> Result<Counts, WriteError> {
    match store.write(|w| group.iter().try_for_each(|again| record_again(w, again))) {
        Ok(()) => return Ok(Counts { written: group.len() as u64, failed: 0 }),
        Err(WriteError::Store(error)) => return Err(WriteError::Store(error)),
        Err(_) => {}
    }
    let mut counts = Counts::default();
    for again in group {
        match store.write(|w| record_again(w, again)) {
            Ok(()) => counts.written += 1,
            Err(WriteError::Store(error)) => return Err(WriteError::Store(error)),
            Err(_) => counts.failed += 1,
        }
    }
    Ok(counts)
}

fn record_again(w: &mut WriteGroup<'_, '_>, again: &Again) -> Result<(), WriteError> {
    match again {
        Again::Track { space, chunk } => w.add_track(*space, chunk.clone()),
        Again::Change { space, kind, record, change } => {
            w.now = change.time;
            let number = w.space(*space)?;
            if row::find_row(w.writing.transaction, number, kind, *record)?.is_some() {
                return w.edit(*space, kind, *record, &puts(change));
            }
            if change.deps.is_empty() { create(w, again) } else { create_from_edit(w, again) }
        }
    }
}

/// The fields that a change captured.
fn captured(change: &Change) -> Fields {
    match change.ops.iter().find(|op| op.key == CAPTURE_KEY).map(|op| &op.value) {
        Some(Some(Value::Map(fields))) => fields.clone(),
        _ => Fields::new(),
    }
}

/// What a change did, as an edit.
fn puts(change: &Change) -> BTreeMap<String, Option<Value>> {
    let captured = captured(change).into_iter().map(|(name, value)| (name, Some(value)));
    let root = change.ops.iter().filter(|op| op.key != CAPTURE_KEY);
    captured.chain(root.map(|op| (op.key.clone(), op.value.clone()))).collect()
}

fn create(w: &mut WriteGroup<'_, '_>, again: &Again) -> Result<(), WriteError> {
    let Again::Change { space, kind, record, change } = again else { return Ok(()) };
    let mut puts = puts(change);
    let withdrawn = puts.remove(WITHDRAWN_KEY).flatten() == Some(Value::Bool(true));
    let fields = puts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    w.put(*space, kind, Some(*record), fields)?;
    if withdrawn { w.withdraw(*space, kind, *record) } else { Ok(()) }
}

/// Keeps an edit whose record is not here: as root keys alone, so that it takes nothing from the
/// record's own first change when that comes back from the relay.
fn create_from_edit(w: &mut WriteGroup<'_, '_>, again: &Again) -> Result<(), WriteError> {
    let Again::Change { space, kind, record, change } = again else { return Ok(()) };
    let ops: Vec<Op> = puts(change)
        .into_iter()
        .filter(|(_, value)| value.is_some())
        .map(|(key, value)| Op { key, value, predecessors: Vec::new() })
        .collect();
    if ops.is_empty() {
        return Err(WriteError::NotFound(*record));
    }
    w.put_first(*space, kind, *record, |actor, time| {
        Ok(document::encode(&NewChange { actor, seq: 1, start_op: 1, time, deps: Vec::new(), ops })?)
    })
}
