//! A record with more than one change: what survives of it.
//!
//! Automerge's merge of a flat map of scalars is a register for each key: a put lives until an operation
//! names it as replaced, and of those that live the highest shows. That is kept here and brought up to
//! date with each change, so that a change costs what it says, however many others the record has.
//! Automerge's own documents cost the square of that when changes come one by one, so Automerge is the
//! [witness](super::witness) and not what runs.
//!
//! What is saved are the changes themselves, ancestors first and end to end: a file that Automerge opens.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::id::ChangeHash;

use super::fold::{Folded, Live, LiveKeys, Origin, overlay};
use super::history::History;
use super::scan::scan_first;
use super::{Change, OpId, ScanError, scan};

/// A change cannot join a document, or a document cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The bytes are not a change.
    #[error("merging a change that cannot be read")]
    Scan(#[from] ScanError),
    /// A change that it builds on is not here: wait for it.
    #[error("merging a change before its ancestor {0}")]
    MissingAncestor(ChangeHash),
    /// Its sequence number does not follow its author's last one among its ancestors.
    #[error("merging a change whose sequence number {seq} does not follow its ancestors")]
    WrongSeq {
        /// The number that it carries.
        seq: u64,
    },
    /// Another change of the same author carries the same number: the author's chain forked.
    #[error("merging a change whose sequence number {seq} is another one's")]
    DuplicateSeq {
        /// The number that both carry.
        seq: u64,
    },
    /// Its first counter does not follow the highest one of its ancestors.
    #[error("merging a change whose counter {start_op} does not follow its ancestors")]
    WrongStart {
        /// The counter that it starts at.
        start_op: u64,
    },
    /// An operation replaces something that none of its ancestors put under that key.
    #[error("merging a change that replaces what its ancestors did not put")]
    UnknownPredecessor,
    /// There are no changes.
    #[error("opening a document without changes")]
    Empty,
    /// Saved bytes are not one whole document.
    #[error("opening saved bytes that are not a document")]
    Saved,
}

impl MergeError {
    /// Whether the change is sound and only came too early.
    pub fn is_missing_ancestor(&self) -> bool {
        matches!(self, Self::MissingAncestor(_))
    }
}

/// A record's whole history, merged. It always holds at least one change.
#[derive(Default)]
pub struct Document {
    pub(super) history: History,
    /// The changes' bytes, in the history's order.
    bytes: Vec<u8>,
    /// Where each change ends in them.
    ends: Vec<usize>,
    /// The puts under each root key that nothing has replaced, ascending.
    live: BTreeMap<String, Vec<OpId>>,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("changes", &self.history.len()).finish_non_exhaustive()
    }
}

impl Document {
    /// Merges changes given in any order; each may be given more than once.
    pub fn from_changes<'a>(raw: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, MergeError> {
        let mut document = Self::default();
        for (change, raw) in in_causal_order(raw)? {
            document.history.check(&change)?;
            document.push(Arc::new(change), raw);
        }
        if document.history.is_empty() { Err(MergeError::Empty) } else { Ok(document) }
    }

    /// Merges changes that were [chosen](super::choose) of all that are held, each given once.
    pub(crate) fn from_chosen<'a>(
        chosen: impl IntoIterator<Item = (&'a Arc<Change>, &'a [u8])>,
    ) -> Result<Self, MergeError> {
        let mut chosen: Vec<_> = chosen.into_iter().collect();
        // A change starts after all its ancestors.
        chosen.sort_by_key(|(change, _)| (change.start_op, change.actor));
        let mut document = Self::default();
        for (change, raw) in chosen {
            if !document.history.is_in_place(change) {
                return Err(MergeError::Saved);
            }
            document.push(Arc::clone(change), raw);
        }
        if document.history.is_empty() { Err(MergeError::Empty) } else { Ok(document) }
    }

    /// Opens what [`as_bytes`](Self::as_bytes) gave. The bytes are a cache of one's own making, so no
    /// change is checked again but for its checksum and its place; if they are damaged, the changes
    /// themselves are still in the batches.
    pub fn load(saved: impl Into<Vec<u8>>) -> Result<Self, MergeError> {
        let bytes = saved.into();
        let mut document = Self::default();
        while let Some(rest) = bytes.get(document.end()..).filter(|rest| !rest.is_empty()) {
            let (change, len) = scan_first(rest)?;
            if !document.history.is_in_place(&change) {
                return Err(MergeError::Saved);
            }
            document.place(Arc::new(change), len);
        }
        if document.history.is_empty() {
            return Err(MergeError::Empty);
        }
        document.bytes = bytes;
        Ok(document)
    }

    /// The whole history, to be opened again.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds a change whose ancestors are held. One that is held already changes nothing.
    pub fn apply(&mut self, raw: &[u8]) -> Result<(), MergeError> {
        self.join(&Arc::new(scan(raw)?), raw)
    }

    /// Adds a change that was read from these bytes.
    pub(crate) fn join(&mut self, change: &Arc<Change>, raw: &[u8]) -> Result<(), MergeError> {
        if self.history.holds(&change.hash) {
            return Ok(());
        }
        self.history.check(change)?;
        self.push(Arc::clone(change), raw);
        Ok(())
    }

    fn push(&mut self, change: Arc<Change>, raw: &[u8]) {
        self.bytes.extend_from_slice(raw);
        self.place(change, raw.len());
    }

    /// Adds a change whose bytes come next.
    fn place(&mut self, change: Arc<Change>, len: usize) {
        self.ends.push(self.end() + len);
        for (counter, op) in (change.start_op..).zip(&change.ops) {
            if !self.live.contains_key(&op.key) {
                self.live.insert(op.key.clone(), Vec::new());
            }
            let Some(live) = self.live.get_mut(&op.key) else { continue };
            for replaced in &op.predecessors {
                if let Ok(at) = live.binary_search(replaced) {
                    live.remove(at);
                }
            }
            let id = OpId { counter, actor: change.actor };
            if let (Some(_), Err(at)) = (&op.value, live.binary_search(&id)) {
                live.insert(at, id);
            }
        }
        self.history.push(change);
    }

    fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether the change is part of this document.
    pub fn holds(&self, hash: &ChangeHash) -> bool {
        self.history.holds(hash)
    }

    /// Every change, ancestors first.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.history.changes().map(|change| &**change)
    }

    /// Every change with its bytes, ancestors first.
    pub(crate) fn changes_with_bytes(&self) -> impl Iterator<Item = (&Arc<Change>, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends).map(|(start, end)| Range { start, end: *end });
        self.history.changes().zip(ranges.map(|range| &self.bytes[range]))
    }

    /// The changes that no other one builds on, ascending.
    pub fn heads(&self) -> Vec<ChangeHash> {
        self.history.heads().iter().copied().collect()
    }

    /// What the record looks like now.
    pub fn fold(&self) -> Folded {
        let (fields, withdrawn, conflicts) =
            overlay(self.live(), |changes| self.history.concurrent_with_all(changes));
        let heads = self.heads();
        let firsts = self.changes().filter(|change| change.deps.is_empty());
        Folded {
            fields,
            withdrawn,
            conflicts,
            created: origin(firsts.min_by_key(|change| change.actor)),
            updated: origin(self.changes().max_by_key(|change| (change.last_op(), change.actor))),
            max_op: self.history.max_op(&heads),
            heads,
        }
    }

    /// Every root key's surviving operations, the winner first.
    pub(super) fn live(&self) -> LiveKeys<'_> {
        let live_op = |id: &OpId| {
            let (change, op) = self.history.op(*id)?;
            Some(Live { id: *id, value: op.value.as_ref()?, change })
        };
        let keys = self.live.iter().filter(|(_, ids)| !ids.is_empty());
        keys.map(|(key, ids)| (key.as_str(), ids.iter().rev().filter_map(live_op).collect())).collect()
    }
}

fn origin(change: Option<&Change>) -> Origin {
    let change = change.expect("a document holds at least one change");
    Origin { actor: change.actor, time: change.time }
}

/// Scans changes and sorts them so that ancestors come first.
fn in_causal_order<'a>(
    raw: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<(Change, &'a [u8])>, MergeError> {
    let mut scanned: BTreeMap<ChangeHash, (Change, &'a [u8])> = BTreeMap::new();
    for bytes in raw {
        let change = scan(bytes)?;
        scanned.insert(change.hash, (change, bytes));
    }
    let mut missing: BTreeMap<ChangeHash, usize> = BTreeMap::new();
    let mut waiting: BTreeMap<ChangeHash, Vec<ChangeHash>> = BTreeMap::new();
    let mut ready = Vec::new();
    for (hash, (change, _)) in &scanned {
        for dep in &change.deps {
            if !scanned.contains_key(dep) {
                return Err(MergeError::MissingAncestor(*dep));
            }
            waiting.entry(*dep).or_default().push(*hash);
        }
        if change.deps.is_empty() {
            ready.push(*hash);
        }
        missing.insert(*hash, change.deps.len());
    }
    // A hash cannot be among its own ancestors, so everything becomes ready.
    let mut ordered = Vec::with_capacity(scanned.len());
    while let Some(hash) = ready.pop() {
        for next in waiting.remove(&hash).unwrap_or_default() {
            let left = missing.entry(next).or_default();
            *left -= 1;
            if *left == 0 {
                ready.push(next);
            }
        }
        ordered.extend(scanned.remove(&hash));
    }
    Ok(ordered)
}
