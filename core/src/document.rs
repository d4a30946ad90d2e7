//! Documents: what a record is made of, and how its changes become one.
//!
//! Every record is one Automerge document, and every document is *flat*: one root map of scalars,
//! on which a change only puts and deletes. A record's history is a set of changes; [`fold_one`]
//! and [`Document::fold`] turn such a set into what the record looks like now, always the same
//! whatever the order in which the changes came.
//!
//! Nothing here knows batches, signatures, kinds of entries or a database. The one surprise: where
//! records are merged, Automerge does not run. Changes are its format, byte for byte, and what they make
//! of a record is what it makes of them, conflicts included: `barid check` asks it of every merged record
//! (`witness`), the tests and the fuzz targets of every history they make. But merging a flat map takes no
//! more than a register for each key ([`Document`]), and that costs what a change says, where Automerge's
//! documents cost the square of a record's changes: 500 long ones, each in a transaction, took 97 s, and
//! any member could send 4,000.
//!
//! # Bytes from strangers
//!
//! Automerge's own decoder can be made to panic or to use gigabytes by bytes with a valid
//! checksum. [`scan`] reads less, and within bounds; what cannot be judged from the change alone (its
//! ancestors must be held, its counters must follow theirs, its predecessors must exist) is judged by
//! [`Document::apply`]. Both verdicts depend on the change and on its ancestors and on nothing else, so
//! every replica reaches the same one.
//!
//! # How large a record can become
//!
//! To add to a record, all of it is read. So that nobody can make one that a phone cannot read, what one
//! author may do to it is bounded, change by change: the first [`AUTHOR_LONG_CHANGES_MAX`] changes may be
//! of any length, the others up to [`AUTHOR_CHANGES_MAX`] are short ones. A change says which of its
//! author's it is, so its bytes alone decide, and every replica says the same whatever it holds. That
//! makes 48 MiB an author at the very worst, and an honest one is told when it records and not later.
//!
//! There is no bound on a record as a whole. The changes within such a bound would have to be chosen
//! among those held; whoever holds one more would choose others, and changes that were shown, and that
//! people built on, would vanish again. A bound on a change's ancestry is decided by the change alone,
//! but with it any member could use up a record for everybody. So authors add up, and a device is one
//! author for each incarnation of its database: a hostile one can be many, at the cost of as many
//! chains, which are seen, counted and cut off by its revoke.
//!
//! [`AUTHOR_LONG_CHANGES_MAX`]: crate::limits::AUTHOR_LONG_CHANGES_MAX
//! [`AUTHOR_CHANGES_MAX`]: crate::limits::AUTHOR_CHANGES_MAX
//!
//! # The accepted subset
//!
//! A change is one uncompressed chunk (type 1) of Automerge's storage format. `uleb` and `sleb` are
//! LEB128, unsigned and signed, in their shortest form.
//!
//! ```text
//! 85 6f 4a 83                 magic
//! checksum (4)                first bytes of the hash
//! 01                          chunk type: change
//! uleb length                 of what follows, to the end
//!   uleb n, n × hash (32)     direct ancestors, ascending, each once; none in a first change
//!   10, actor (16)            the author
//!   uleb seq                  counts the actor's changes of this record from 1
//!   uleb start                counter of the first operation; 1 in a first change
//!   sleb time                 milliseconds since the epoch, as claimed
//!   00                        no message
//!   uleb n, n × (10, actor)   actors of predecessors other than the author, ascending
//!   uleb n, n × (uleb column, uleb length)
//!   columns, and nothing after them
//! ```
//!
//! | column | holds, an operation a row | form |
//! |---|---|---|
//! | 21 | key, strictly ascending | runs of text |
//! | 52 | insert: always no | one run |
//! | 66 | action: 1 put, 3 delete | runs of `uleb` |
//! | 86 | `length << 4 \| type` of the value | runs of `uleb` |
//! | 87 | the values, end to end; absent if all are empty | bytes |
//! | 112 | number of predecessors | runs of `uleb` |
//! | 113 | their actors: 0 the author, else 1 + place in the list | runs of `uleb` |
//! | 115 | their counters, each less the one before | runs of `sleb` |
//!
//! Columns 113 and 115 are absent if there are no predecessors. A *run* is `sleb n` and one value
//! standing for n ≥ 2 equal ones, or `sleb -n` and n values of which no neighbours are equal.
//! Value types: 0 null, 1 false, 2 true, 4 whole number (`sleb`), 5 number (8 bytes,
//! little-endian, finite), 6 text, 7 the deterministic CBOR of bytes, a list or a map.
//!
//! The hash of a change is SHA-256 over everything after the checksum. Nothing but the bytes that
//! [`encode`] writes is accepted, and those are Automerge's own, byte for byte.

mod choose;
mod column;
mod create;
mod encode;
mod fold;
mod history;
mod merge;
mod reauthor;
mod rule;
mod scan;
mod witness;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod fixture;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod hostile;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod properties;

use std::fmt;

use crate::clock::Timestamp;
use crate::id::{ActorId, ChangeHash};
use crate::model::Value;

pub use choose::{Candidate, Fate, ancestry_beyond, choose};
pub use create::{EditError, create};
#[cfg(test)]
pub(crate) use encode::write_chunk as write_unchecked;
pub use encode::{EncodeError, NewChange, encode, encode_with_hash};
pub use fold::{Conflict, ConflictValue, FirstFolded, FoldError, Folded, Origin, fold_first, fold_one};
pub use merge::{Document, MergeError};
pub use reauthor::{Moved, ReauthorError, reauthor};
pub use rule::Violation;
pub use scan::{ScanError, is_first, scan};
pub use witness::{WitnessError, to_scalar};

/// The root key of the capture value: one map of the fields that are captured once.
pub const CAPTURE_KEY: &str = "@";

/// The root key of the withdrawn flag.
pub const WITHDRAWN_KEY: &str = "~withdrawn";

/// Names an operation: a Lamport counter, and who counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// Higher than every counter that its author had seen in the record.
    pub counter: u64,
    /// Who wrote it; decides between equal counters.
    pub actor: ActorId,
}

/// One operation: a root key takes a value or loses the ones it has.
#[derive(Clone, PartialEq)]
pub struct Op {
    /// The root key.
    pub key: String,
    /// The value put; `None` deletes.
    pub value: Option<Value>,
    /// The operations on the same key that this one replaces, ascending.
    pub predecessors: Vec<OpId>,
}

/// Shows neither the key nor the value: they are names, notes and positions.
impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Op")
            .field("puts", &self.value)
            .field("predecessors", &self.predecessors.len())
            .finish_non_exhaustive()
    }
}

/// A change as [`scan`] read it.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its name, as Automerge computes it.
    pub hash: ChangeHash,
    /// The author.
    pub actor: ActorId,
    /// Counts the author's changes of this record from 1.
    pub seq: u64,
    /// The counter of the first operation; the others follow one by one.
    pub start_op: u64,
    /// When it was made, as its author claimed.
    pub time: Timestamp,
    /// Its direct ancestors, ascending.
    pub deps: Vec<ChangeHash>,
    /// What it does, by ascending key, each key at most once.
    pub ops: Vec<Op>,
}

impl Change {
    /// The counter of the last operation.
    pub fn last_op(&self) -> u64 {
        // A scanned change has at least one operation, so this cannot fall below `start_op`.
        self.start_op + (self.ops.len() as u64).saturating_sub(1)
    }
}
