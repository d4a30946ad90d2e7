//! Writes changes: the bytes that Automerge itself would write, without Automerge.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::id::{ActorId, ChangeHash};
use crate::model::Value;

use super::column::{write_runs, write_sleb, write_uleb};
use super::rule::{self, Violation};
use super::{Op, OpId};

pub(super) const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
pub(super) const CHUNK_CHANGE: u8 = 1;

pub(super) const COLUMN_KEY: u64 = 21;
pub(super) const COLUMN_INSERT: u64 = 52;
pub(super) const COLUMN_ACTION: u64 = 66;
pub(super) const COLUMN_VALUE_META: u64 = 86;
pub(super) const COLUMN_VALUE: u64 = 87;
pub(super) const COLUMN_PREDECESSORS: u64 = 112;
pub(super) const COLUMN_PREDECESSOR_ACTOR: u64 = 113;
pub(super) const COLUMN_PREDECESSOR_COUNTER: u64 = 115;

pub(super) const ACTION_PUT: u64 = 1;
pub(super) const ACTION_DELETE: u64 = 3;

pub(super) const TYPE_NULL: u8 = 0;
pub(super) const TYPE_FALSE: u8 = 1;
pub(super) const TYPE_TRUE: u8 = 2;
pub(super) const TYPE_INT: u8 = 4;
pub(super) const TYPE_FLOAT: u8 = 5;
pub(super) const TYPE_TEXT: u8 = 6;
pub(super) const TYPE_BYTES: u8 = 7;

/// A change to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct NewChange {
    /// The author.
    pub actor: ActorId,
    /// Counts the author's changes of this record from 1.
    pub seq: u64,
    /// One more than the highest counter of its ancestors; 1 without any.
    pub start_op: u64,
    /// When it is made.
    pub time: Timestamp,
    /// Its direct ancestors, ascending.
    pub deps: Vec<ChangeHash>,
    /// What it does, by ascending key, each key at most once.
    pub ops: Vec<Op>,
}

/// A change cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It breaks a rule: every replica would refuse it.
    #[error("encoding a change that every replica would refuse")]
    Rule(#[from] Violation),
}

/// The bytes of a change.
pub fn encode(change: &NewChange) -> Result<Vec<u8>, EncodeError> {
    encode_with_hash(change).map(|(bytes, _)| bytes)
}

/// The bytes of a change, and its hash.
pub fn encode_with_hash(change: &NewChange) -> Result<(Vec<u8>, ChangeHash), EncodeError> {
    rule::check(change.actor, change.seq, change.start_op, &change.deps, &change.ops)?;
    let (bytes, hash) = write_chunk(change);
    if bytes.len() > rule::len_max(change.seq) {
        return Err(Violation::TooLong.into());
    }
    Ok((bytes, hash))
}

/// Writes without judging; apart so that tests can write what every replica must refuse.
pub(crate) fn write_chunk(change: &NewChange) -> (Vec<u8>, ChangeHash) {
    let rows: Vec<Row<'_>> = change.ops.iter().map(Row::of).collect();
    let body = write_body(&Body {
        actor: change.actor,
        seq: change.seq,
        start_op: change.start_op,
        time: change.time,
        deps: &change.deps,
        others: &rule::other_actors(change.actor, &change.ops),
        rows: &rows,
    });
    seal_chunk(&body)
}

/// Puts the header with its checksum before a body.
pub(super) fn seal_chunk(body: &[u8]) -> (Vec<u8>, ChangeHash) {
    let mut bytes = Vec::with_capacity(MAGIC.len() + 4 + 4 + body.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&[0; 4]);
    bytes.push(CHUNK_CHANGE);
    write_uleb(&mut bytes, body.len() as u64);
    bytes.extend_from_slice(body);
    let hash = chunk_hash(&bytes);
    bytes[4..8].copy_from_slice(&hash[..4]);
    (bytes, ChangeHash::from_bytes(hash))
}

/// SHA-256 over a chunk's type, length and contents: everything after magic and checksum.
pub(super) fn chunk_hash(chunk: &[u8]) -> [u8; 32] {
    Sha256::digest(chunk.get(8..).unwrap_or_default()).into()
}

/// What stands between a chunk's header and its end.
pub(super) struct Body<'a> {
    pub(super) actor: ActorId,
    pub(super) seq: u64,
    pub(super) start_op: u64,
    pub(super) time: Timestamp,
    pub(super) deps: &'a [ChangeHash],
    pub(super) others: &'a [ActorId],
    pub(super) rows: &'a [Row<'a>],
}

/// One operation as it lies in the columns.
pub(super) struct Row<'a> {
    pub(super) key: &'a str,
    pub(super) action: u64,
    pub(super) value_type: u8,
    pub(super) value: Cow<'a, [u8]>,
    pub(super) predecessors: Cow<'a, [OpId]>,
}

impl<'a> Row<'a> {
    fn of(op: &'a Op) -> Self {
        let (value_type, value) = match &op.value {
            None | Some(Value::Null) => (TYPE_NULL, Cow::Borrowed(&[][..])),
            Some(Value::Bool(false)) => (TYPE_FALSE, Cow::Borrowed(&[][..])),
            Some(Value::Bool(true)) => (TYPE_TRUE, Cow::Borrowed(&[][..])),
            Some(Value::Int(int)) => {
                let mut bytes = Vec::new();
                write_sleb(&mut bytes, *int);
                (TYPE_INT, Cow::Owned(bytes))
            }
            Some(Value::Float(float)) => (TYPE_FLOAT, Cow::Owned(float.to_le_bytes().to_vec())),
            Some(Value::Text(text)) => (TYPE_TEXT, Cow::Borrowed(text.as_bytes())),
            Some(value @ (Value::Bytes(_) | Value::List(_) | Value::Map(_))) => {
                (TYPE_BYTES, Cow::Owned(value.to_cbor()))
            }
        };
        Self {
            key: &op.key,
            action: if op.value.is_some() { ACTION_PUT } else { ACTION_DELETE },
            value_type,
            value,
            predecessors: Cow::Borrowed(&op.predecessors),
        }
    }
}

pub(super) fn write_body(body: &Body<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    write_uleb(&mut out, body.deps.len() as u64);
    for dep in body.deps {
        out.extend_from_slice(dep.as_bytes());
    }
    write_actor(&mut out, body.actor);
    write_uleb(&mut out, body.seq);
    write_uleb(&mut out, body.start_op);
    write_sleb(&mut out, body.time.as_millis());
    write_uleb(&mut out, 0); // no message
    write_uleb(&mut out, body.others.len() as u64);
    for actor in body.others {
        write_actor(&mut out, *actor);
    }
    write_columns(&mut out, body);
    out
}

fn write_actor(out: &mut Vec<u8>, actor: ActorId) {
    write_uleb(out, ActorId::LEN as u64);
    out.extend_from_slice(actor.as_bytes());
}

fn write_columns(out: &mut Vec<u8>, body: &Body<'_>) {
    let rows = body.rows;
    let mut data = Vec::with_capacity(512);
    let mut lens = Vec::with_capacity(8);
    let mut column = |id: u64, write: &dyn Fn(&mut Vec<u8>)| {
        let start = data.len();
        write(&mut data);
        if data.len() > start {
            lens.push((id, data.len() - start));
        }
    };
    column(COLUMN_KEY, &|out| {
        let keys: Vec<&str> = rows.iter().map(|row| row.key).collect();
        write_runs(out, &keys, |out, key| {
            write_uleb(out, key.len() as u64);
            out.extend_from_slice(key.as_bytes());
        });
    });
    column(COLUMN_INSERT, &|out| write_uleb(out, rows.len() as u64));
    column(COLUMN_ACTION, &|out| write_numbers(out, rows.iter().map(|row| row.action)));
    column(COLUMN_VALUE_META, &|out| {
        write_numbers(out, rows.iter().map(|row| (row.value.len() as u64) << 4 | u64::from(row.value_type)));
    });
    column(COLUMN_VALUE, &|out| rows.iter().for_each(|row| out.extend_from_slice(&row.value)));
    column(COLUMN_PREDECESSORS, &|out| {
        write_numbers(out, rows.iter().map(|row| row.predecessors.len() as u64));
    });
    let predecessors: Vec<OpId> = rows.iter().flat_map(|row| row.predecessors.iter().copied()).collect();
    column(COLUMN_PREDECESSOR_ACTOR, &|out| {
        write_numbers(out, predecessors.iter().map(|p| actor_index(body.others, p.actor)));
    });
    column(COLUMN_PREDECESSOR_COUNTER, &|out| {
        let mut before = 0;
        let deltas: Vec<i64> = predecessors
            .iter()
            .map(|p| {
                let delta = (p.counter as i64).wrapping_sub(before);
                before = p.counter as i64;
                delta
            })
            .collect();
        write_runs(out, &deltas, write_sleb);
    });
    write_uleb(out, lens.len() as u64);
    for (id, len) in lens {
        write_uleb(out, id);
        write_uleb(out, len as u64);
    }
    out.extend_from_slice(&data);
}

fn write_numbers(out: &mut Vec<u8>, numbers: impl Iterator<Item = u64>) {
    write_runs(out, &numbers.collect::<Vec<_>>(), write_uleb);
}

/// 0 is the author, who is in no list.
fn actor_index(others: &[ActorId], actor: ActorId) -> u64 {
    others.binary_search(&actor).map_or(0, |index| index as u64 + 1)
}
