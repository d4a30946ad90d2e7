//! A record with more than one change: Automerge decides what survives.

use std::collections::BTreeMap;
use std::fmt;

use automerge::{Automerge, AutomergeError, ObjId, ROOT, ReadDoc};

use crate::id::{ActorId, ChangeHash};

use super::encode::{MAGIC, chunk_hash};
use super::fold::{Folded, Live, LiveKeys, Origin, overlay};
use super::history::History;
use super::{Change, OpId, ScanError, scan};

const CHUNK_DOCUMENT: u8 = 0;

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
    /// Automerge refused what passed every check.
    #[error("merging a change that Automerge refuses")]
    Automerge(#[source] Box<AutomergeError>),
}

impl MergeError {
    /// Whether the change is sound and only came too early.
    pub fn is_missing_ancestor(&self) -> bool {
        matches!(self, Self::MissingAncestor(_))
    }
}

impl From<AutomergeError> for MergeError {
    fn from(error: AutomergeError) -> Self {
        Self::Automerge(Box::new(error))
    }
}

/// A record's whole history, merged. It always holds at least one change.
pub struct Document {
    automerge: Automerge,
    pub(super) history: History,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("changes", &self.history.len()).finish_non_exhaustive()
    }
}

impl Document {
    /// Merges changes given in any order; each may be given more than once.
    pub fn from_changes<'a>(raw: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, MergeError> {
        let mut document = Self { automerge: Automerge::new(), history: History::default() };
        let mut batch = Vec::new();
        for (change, bytes) in in_causal_order(raw)? {
            document.history.check(&change)?;
            document.history.push(change);
            batch.push(automerge_change(bytes)?);
        }
        if batch.is_empty() {
            return Err(MergeError::Empty);
        }
        document.automerge.apply_changes(batch)?;
        Ok(document)
    }

    /// Opens what [`save`](Self::save) gave. The bytes are a cache of one's own making: if they are
    /// damaged, the changes themselves are still in the batches.
    pub fn load(saved: &[u8]) -> Result<Self, MergeError> {
        // Automerge can panic on damaged documents, so the checksum is compared before it reads.
        let intact = saved.starts_with(&MAGIC)
            && saved.get(8) == Some(&CHUNK_DOCUMENT)
            && saved[4..8] == chunk_hash(saved)[..4];
        if !intact {
            return Err(MergeError::Saved);
        }
        let automerge = Automerge::load(saved)?;
        let mut history = History::default();
        for change in automerge.get_changes(&[]) {
            let change = scan(change.raw_bytes())?;
            history.check(&change)?;
            history.push(change);
        }
        if history.is_empty() {
            return Err(MergeError::Empty);
        }
        Ok(Self { automerge, history })
    }

    /// The whole history in Automerge's compact form.
    pub fn save(&self) -> Vec<u8> {
        self.automerge.save()
    }

    /// Adds a change whose ancestors are held. One that is held already changes nothing.
    pub fn apply(&mut self, raw: &[u8]) -> Result<(), MergeError> {
        let change = scan(raw)?;
        if self.history.holds(&change.hash) {
            return Ok(());
        }
        self.history.check(&change)?;
        self.automerge.apply_changes([automerge_change(raw)?])?;
        self.history.push(change);
        Ok(())
    }

    /// Whether the change is part of this document.
    pub fn holds(&self, hash: &ChangeHash) -> bool {
        self.history.holds(hash)
    }

    /// Every change, ancestors first.
    pub fn changes(&self) -> impl Iterator<Item = &Change> {
        self.history.changes()
    }

    /// The bytes of every change, ancestors first.
    pub fn raw_changes(&self) -> Vec<Vec<u8>> {
        self.automerge.get_changes(&[]).iter().map(|change| change.raw_bytes().to_vec()).collect()
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

    /// Every root key's surviving operations as Automerge sees them, the winner first. What they
    /// put is read from the scanned changes.
    pub(super) fn live(&self) -> LiveKeys<'_> {
        let mut keys = LiveKeys::new();
        for item in self.automerge.map_range(ROOT, ..) {
            let ids = if item.conflict { self.all_ids(&item.key) } else { vec![item.id()] };
            // Automerge lists the winner last.
            let mut live = ids.iter().rev().filter_map(|id| self.live_op(id)).peekable();
            if let Some((key, _)) = live.peek().copied() {
                keys.insert(key, live.map(|(_, live)| live).collect());
            }
        }
        keys
    }

    fn all_ids(&self, key: &str) -> Vec<ObjId> {
        let all = self.automerge.get_all(ROOT, key).unwrap_or_default();
        all.into_iter().map(|(_, id)| id).collect()
    }

    fn live_op(&self, id: &ObjId) -> Option<(&str, Live<'_>)> {
        let ObjId::Id(counter, actor, _) = id else { return None };
        let id = OpId { counter: *counter, actor: ActorId::from_slice(actor.to_bytes())? };
        let (change, op) = self.history.op(id)?;
        Some((&op.key, Live { id, value: op.value.as_ref()?, change }))
    }
}

fn origin(change: Option<&Change>) -> Origin {
    let change = change.expect("a document holds at least one change");
    Origin { actor: change.actor, time: change.time }
}

fn automerge_change(raw: &[u8]) -> Result<automerge::Change, MergeError> {
    automerge::Change::from_bytes(raw.to_vec()).map_err(|error| MergeError::from(AutomergeError::from(error)))
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
