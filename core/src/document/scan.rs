//! Reads changes, strictly: exactly the bytes that [`encode`](super::encode) writes, nothing else.
//!
//! Every count is checked against a limit before anything is allocated for it, and at the end the
//! body is written again from what was read and compared. So two byte strings never read as the
//! same change, and what is accepted here is what Automerge itself writes.

use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::id::{ActorId, ChangeHash};
use crate::limits::{
    CHANGE_ACTORS_MAX, CHANGE_DEPS_MAX, CHANGE_LEN_MAX, CHANGE_OPS_MAX, COUNTER_MAX, OP_PREDECESSORS_MAX,
};
use crate::model::Value;

use super::column::{Malformed, Reader, read_runs};
use super::encode::{self, Body, Row, write_body};
use super::rule::{self, Violation};
use super::{Change, Op, OpId};

/// Bytes are not a change that this format accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Not a chunk, cut short, or with columns that do not fit together.
    #[error("scanning a change: the bytes are malformed")]
    Malformed,
    /// A chunk of another type: a document, a compressed change, a bundle.
    #[error("scanning a change: a chunk of another type")]
    ChunkType,
    /// The checksum is not the beginning of the hash.
    #[error("scanning a change: the checksum does not match")]
    Checksum,
    /// The change has a message, columns or bytes that this format does not use.
    #[error("scanning a change: it has a part that this format does not use")]
    UnusedPart,
    /// An operation other than a put or a delete at the root, or a value of a type that is not
    /// ours.
    #[error("scanning a change: an operation or a value of another type")]
    OpType,
    /// It could have been written shorter or in another order.
    #[error("scanning a change: not the canonical form")]
    NotCanonical,
    /// It breaks a rule.
    #[error("scanning a change that breaks a rule")]
    Rule(#[from] Violation),
}

impl From<Malformed> for ScanError {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

/// Reads a change: bounded, strict, never panicking.
pub fn scan(bytes: &[u8]) -> Result<Change, ScanError> {
    if bytes.len() > CHANGE_LEN_MAX {
        return Err(Violation::TooLong.into());
    }
    let (change, len) = scan_first(bytes)?;
    if len == bytes.len() { Ok(change) } else { Err(ScanError::UnusedPart) }
}

/// Reads the first of changes that lie end to end; gives how long it is, too.
pub(super) fn scan_first(bytes: &[u8]) -> Result<(Change, usize), ScanError> {
    let mut reader = Reader::new(bytes);
    if reader.array()? != encode::MAGIC {
        return Err(ScanError::Malformed);
    }
    let checksum: [u8; 4] = reader.array()?;
    if reader.byte()? != encode::CHUNK_CHANGE {
        return Err(ScanError::ChunkType);
    }
    let len = reader.len()?;
    let body = reader.take(len)?;
    // A length in more bytes than it needs would hash to another name for the same change.
    let chunk = &bytes[..bytes.len() - reader.rest().len()];
    if chunk.len() != 9 + uleb_len(len) + len {
        return Err(ScanError::NotCanonical);
    }
    if chunk.len() > CHANGE_LEN_MAX {
        return Err(Violation::TooLong.into());
    }
    let hash = encode::chunk_hash(chunk);
    if checksum != hash[..4] {
        return Err(ScanError::Checksum);
    }
    let change = scan_body(body, ChangeHash::from_bytes(hash))?;
    if chunk.len() > rule::len_max(change.seq) {
        return Err(Violation::TooLong.into());
    }
    Ok((change, chunk.len()))
}

/// Whether a change that was scanned before builds on nothing: what comes first in it says so.
pub fn is_first(scanned: &[u8]) -> bool {
    let mut reader = Reader::new(scanned);
    let deps = reader.take(9).and_then(|_| reader.uleb()).and_then(|_| reader.uleb());
    deps == Ok(0)
}

fn uleb_len(value: usize) -> usize {
    (usize::BITS - value.leading_zeros()).max(1).div_ceil(7) as usize
}

fn scan_body(body: &[u8], hash: ChangeHash) -> Result<Change, ScanError> {
    let mut reader = Reader::new(body);
    let deps = read_list(&mut reader, CHANGE_DEPS_MAX, Violation::TooManyDeps, |reader| {
        reader.array().map(ChangeHash::from_bytes).map_err(Into::into)
    })?;
    let actor = read_actor(&mut reader)?;
    let seq = reader.uleb()?;
    let start_op = reader.uleb()?;
    let time = Timestamp::from_millis(reader.sleb()?);
    if reader.uleb()? != 0 {
        return Err(ScanError::UnusedPart); // a message
    }
    let others = read_list(&mut reader, CHANGE_ACTORS_MAX - 1, Violation::TooManyActors, read_actor)?;
    let columns = Columns::read(&mut reader)?;
    if !reader.is_empty() {
        return Err(ScanError::UnusedPart);
    }
    let rows = columns.rows(actor, &others)?;

    let mut ops = Vec::with_capacity(rows.len());
    for row in &rows {
        ops.push(Op {
            key: row.key.to_owned(),
            value: read_value(row)?,
            predecessors: row.predecessors.to_vec(),
        });
    }
    rule::check(actor, seq, start_op, &deps, &ops)?;
    let others = rule::other_actors(actor, &ops);
    let written = write_body(&Body { actor, seq, start_op, time, deps: &deps, others: &others, rows: &rows });
    if written != body {
        return Err(ScanError::NotCanonical);
    }
    Ok(Change { hash, actor, seq, start_op, time, deps, ops })
}

fn read_list<T>(
    reader: &mut Reader<'_>,
    max: usize,
    too_many: Violation,
    read: impl Fn(&mut Reader<'_>) -> Result<T, ScanError>,
) -> Result<Vec<T>, ScanError> {
    let len = reader.uleb()?;
    if len > max as u64 {
        return Err(too_many.into());
    }
    (0..len).map(|_| read(reader)).collect()
}

fn read_actor(reader: &mut Reader<'_>) -> Result<ActorId, ScanError> {
    if reader.uleb()? != ActorId::LEN as u64 {
        return Err(ScanError::UnusedPart);
    }
    Ok(ActorId::from_bytes(reader.array()?))
}

/// The columns as they lie in the change; empty where absent.
#[derive(Default)]
struct Columns<'a> {
    key: &'a [u8],
    insert: &'a [u8],
    action: &'a [u8],
    value_meta: &'a [u8],
    value: &'a [u8],
    predecessors: &'a [u8],
    predecessor_actor: &'a [u8],
    predecessor_counter: &'a [u8],
}

impl<'a> Columns<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, ScanError> {
        let mut columns = Self::default();
        let specs = read_list(reader, 8, Violation::NoOps, |reader| Ok((reader.uleb()?, reader.len()?)))
            .map_err(|error| match error {
                ScanError::Rule(_) => ScanError::UnusedPart, // more columns than there are
                error => error,
            })?;
        for (id, len) in specs {
            let column = match id {
                encode::COLUMN_KEY => &mut columns.key,
                encode::COLUMN_INSERT => &mut columns.insert,
                encode::COLUMN_ACTION => &mut columns.action,
                encode::COLUMN_VALUE_META => &mut columns.value_meta,
                encode::COLUMN_VALUE => &mut columns.value,
                encode::COLUMN_PREDECESSORS => &mut columns.predecessors,
                encode::COLUMN_PREDECESSOR_ACTOR => &mut columns.predecessor_actor,
                encode::COLUMN_PREDECESSOR_COUNTER => &mut columns.predecessor_counter,
                _ => return Err(ScanError::UnusedPart),
            };
            *column = reader.take(len)?;
        }
        Ok(columns)
    }

    fn rows(&self, actor: ActorId, others: &[ActorId]) -> Result<Vec<Row<'a>>, ScanError> {
        let keys = read_keys(self.key)?;
        let rows = keys.len();
        let mut insert = Reader::new(self.insert);
        if insert.uleb()? != rows as u64 || !insert.is_empty() {
            return Err(ScanError::OpType);
        }
        let actions = read_runs(self.action, rows, Reader::uleb)?;
        let metas = read_runs(self.value_meta, rows, Reader::uleb)?;
        let counts = read_runs(self.predecessors, rows, Reader::uleb)?;
        let mut predecessors = self.read_predecessors(&counts, actor, others)?.into_iter();
        let mut values = Reader::new(self.value);
        let mut read = Vec::with_capacity(rows);
        for (((key, action), meta), count) in keys.into_iter().zip(actions).zip(metas).zip(counts) {
            let len = usize::try_from(meta >> 4).map_err(|_| ScanError::Malformed)?;
            read.push(Row {
                key,
                action,
                value_type: (meta & 0x0f) as u8,
                value: Cow::Borrowed(values.take(len)?),
                predecessors: predecessors.by_ref().take(count as usize).collect::<Vec<_>>().into(),
            });
        }
        if !values.is_empty() {
            return Err(ScanError::Malformed);
        }
        Ok(read)
    }

    fn read_predecessors(
        &self,
        counts: &[u64],
        actor: ActorId,
        others: &[ActorId],
    ) -> Result<Vec<OpId>, ScanError> {
        if counts.iter().any(|count| *count > OP_PREDECESSORS_MAX as u64) {
            return Err(Violation::TooManyPredecessors.into());
        }
        let total = counts.iter().sum::<u64>() as usize;
        // Each predecessor is told from its neighbours by at least its place in a run, and a run
        // can stand for all of them: the total is bounded by the limits, not by the bytes.
        let actors = read_runs(self.predecessor_actor, total, Reader::uleb)?;
        let deltas = read_runs(self.predecessor_counter, total, Reader::sleb)?;
        let mut counter = 0i64;
        actors
            .into_iter()
            .zip(deltas)
            .map(|(index, delta)| {
                counter = counter.checked_add(delta).ok_or(ScanError::Malformed)?;
                let counter = u64::try_from(counter).map_err(|_| ScanError::Malformed)?;
                if counter > COUNTER_MAX {
                    return Err(Violation::CounterOutOfRange.into());
                }
                let actor = match usize::try_from(index) {
                    Ok(0) => actor,
                    Ok(index) => *others.get(index - 1).ok_or(ScanError::Malformed)?,
                    Err(_) => return Err(ScanError::Malformed),
                };
                Ok(OpId { counter, actor })
            })
            .collect()
    }
}

/// Keys ascend, so no two are equal and the column is one run of different ones.
fn read_keys(column: &[u8]) -> Result<Vec<&str>, ScanError> {
    let mut reader = Reader::new(column);
    if reader.is_empty() {
        return Err(Violation::NoOps.into());
    }
    let run = reader.sleb()?;
    if run >= 0 {
        return Err(if run == 0 { ScanError::OpType } else { Violation::KeysNotSorted.into() });
    }
    if run.unsigned_abs() > CHANGE_OPS_MAX as u64 {
        return Err(Violation::TooManyOps.into());
    }
    let mut keys = Vec::with_capacity(run.unsigned_abs() as usize);
    for _ in 0..run.unsigned_abs() {
        let len = reader.len()?;
        keys.push(std::str::from_utf8(reader.take(len)?).map_err(|_| ScanError::Malformed)?);
    }
    if reader.is_empty() { Ok(keys) } else { Err(ScanError::Malformed) }
}

fn read_value(row: &Row<'_>) -> Result<Option<Value>, ScanError> {
    let bytes = row.value.as_ref();
    let value = match (row.value_type, bytes.len()) {
        (encode::TYPE_NULL, 0) => Value::Null,
        (encode::TYPE_FALSE, 0) => Value::Bool(false),
        (encode::TYPE_TRUE, 0) => Value::Bool(true),
        (encode::TYPE_INT, _) => Value::Int(read_int(bytes)?),
        (encode::TYPE_FLOAT, _) => {
            Value::Float(f64::from_le_bytes(bytes.try_into().map_err(|_| ScanError::Malformed)?))
        }
        (encode::TYPE_TEXT, _) => {
            Value::Text(std::str::from_utf8(bytes).map_err(|_| ScanError::Malformed)?.to_owned())
        }
        (encode::TYPE_BYTES, _) => match Value::from_cbor(bytes).map_err(Violation::Value)? {
            value @ (Value::Bytes(_) | Value::List(_) | Value::Map(_)) => value,
            _ => return Err(ScanError::NotCanonical),
        },
        _ => return Err(ScanError::OpType),
    };
    match row.action {
        encode::ACTION_PUT => Ok(Some(value)),
        encode::ACTION_DELETE if row.value_type == encode::TYPE_NULL => Ok(None),
        _ => Err(ScanError::OpType),
    }
}

fn read_int(bytes: &[u8]) -> Result<i64, ScanError> {
    let mut reader = Reader::new(bytes);
    let int = reader.sleb()?;
    let mut written = Vec::with_capacity(bytes.len());
    super::column::write_sleb(&mut written, int);
    // The body is written again from the value's bytes as they are, so they are judged here.
    if written == bytes { Ok(int) } else { Err(ScanError::NotCanonical) }
}
