//! Makes changes: the first one of a record, and edits on top of all that is held.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::id::{ActorId, ChangeHash};
use crate::limits::{CHANGE_ACTORS_MAX, CHANGE_DEPS_MAX, OP_PREDECESSORS_MAX};
use crate::model::{Fields, Kind, Value};

use super::fold::Live;
use super::rule::is_reserved;
use super::{CAPTURE_KEY, Document, EncodeError, MergeError, NewChange, Op, OpId, WITHDRAWN_KEY, encode};

/// A record cannot be made or edited like this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// A field has the name of a reserved key.
    #[error("writing a field whose name is reserved")]
    ReservedName,
    /// The change would break a rule of the format.
    #[error("writing a change")]
    Encode(#[from] EncodeError),
    /// The change was written and cannot join its own document.
    #[error("adding an edit to its document")]
    Merge(#[from] MergeError),
}

/// The first change of a record: the fields that its kind captures go into the capture value, the
/// others become root keys.
pub fn create(actor: ActorId, time: Timestamp, kind: &Kind, fields: &Fields) -> Result<Vec<u8>, EditError> {
    if fields.keys().any(|name| is_reserved(name)) {
        return Err(EditError::ReservedName);
    }
    let (captured, mut root): (Fields, Fields) =
        fields.clone().into_iter().partition(|(name, _)| kind.captures(name));
    // A change must do something, so a record without fields is one with an empty capture.
    if !captured.is_empty() || root.is_empty() {
        root.insert(CAPTURE_KEY.to_owned(), Value::Map(captured));
    }
    let ops = root
        .into_iter()
        .map(|(key, value)| Op { key, value: Some(value), predecessors: Vec::new() })
        .collect();
    Ok(encode(&NewChange { actor, seq: 1, start_op: 1, time, deps: Vec::new(), ops })?)
}

impl Document {
    /// Writes one change on top of everything held, and includes it; `None` if nothing changes.
    ///
    /// `None` for a value removes the field; where the capture holds it too, it becomes null. A
    /// put on a field in conflict always writes, because that is how people settle one. The
    /// withdrawn flag is put and taken back under [`WITHDRAWN_KEY`].
    pub fn edit(
        &mut self,
        actor: ActorId,
        time: Timestamp,
        puts: &BTreeMap<String, Option<Value>>,
    ) -> Result<Option<Vec<u8>>, EditError> {
        if puts.contains_key(CAPTURE_KEY) {
            return Err(EditError::ReservedName);
        }
        let deps = self.newest_heads(actor);
        let ops = self.edit_ops(actor, &deps, puts)?;
        if ops.is_empty() {
            return Ok(None);
        }
        let seq = self.history.last_by(actor).map_or(1, |last| last.seq + 1);
        let start_op = self.history.max_op(&deps) + 1;
        let bytes = encode(&NewChange { actor, seq, start_op, time, deps, ops })?;
        self.apply(&bytes)?;
        Ok(Some(bytes))
    }

    /// The heads to build on: all, or the latest if more than a change can name. The author's own
    /// is always one of them, or the edit could not follow it.
    fn newest_heads(&self, actor: ActorId) -> Vec<ChangeHash> {
        let mut heads = self.heads();
        if heads.len() > CHANGE_DEPS_MAX {
            let own = self.history.last_by(actor).map(|change| change.hash);
            heads.sort_by_key(|hash| std::cmp::Reverse((Some(*hash) == own, self.history.max_op(&[*hash]))));
            heads.truncate(CHANGE_DEPS_MAX);
            // An own change below one of the heads left out is named though it is no head.
            if let Some(own) = own.filter(|own| !heads.contains(own)) {
                heads.pop();
                heads.push(own);
            }
            heads.sort_unstable();
        }
        heads
    }

    fn edit_ops(
        &self,
        actor: ActorId,
        deps: &[ChangeHash],
        puts: &BTreeMap<String, Option<Value>>,
    ) -> Result<Vec<Op>, EditError> {
        let folded = self.fold();
        let live = self.live();
        let ancestry = self.history.ancestry(deps, 0)?;
        let in_conflict: BTreeSet<&str> =
            folded.conflicts.iter().map(|conflict| conflict.field.as_str()).collect();
        let captured = |name: &str| {
            live.get(CAPTURE_KEY).is_some_and(|captures| {
                captures.iter().any(|c| matches!(c.value, Value::Map(fields) if fields.contains_key(name)))
            })
        };
        let withdrawn = Value::Bool(folded.withdrawn);
        let mut ops = Vec::new();
        let mut actors = BTreeSet::from([actor]);
        for (key, put) in puts {
            let replaced = live.get(key.as_str()).map(Vec::as_slice).unwrap_or_default();
            let (now, put) = if key == WITHDRAWN_KEY {
                (Some(&withdrawn), put.clone())
            } else if put.is_none() && captured(key) {
                (folded.fields.get(key), Some(Value::Null))
            } else {
                (folded.fields.get(key), put.clone())
            };
            if now == put.as_ref() && !in_conflict.contains(key.as_str()) {
                continue;
            }
            let seen = replaced.iter().filter(|l| self.history.includes(&ancestry, l.change));
            let predecessors = within_limits(seen, &mut actors);
            ops.push(Op { key: key.clone(), value: put, predecessors });
        }
        Ok(ops)
    }
}

/// The operations that an edit replaces, ascending. Of more than a change can name, those that
/// would win: what is left behind stays a conflict, which is better than a record that nobody can
/// edit any more.
fn within_limits<'a, 'b: 'a>(
    winners_first: impl Iterator<Item = &'a Live<'b>>,
    actors: &mut BTreeSet<ActorId>,
) -> Vec<OpId> {
    let mut predecessors = Vec::new();
    for live in winners_first {
        let nameable = actors.contains(&live.id.actor) || actors.len() < CHANGE_ACTORS_MAX;
        if nameable && predecessors.len() < OP_PREDECESSORS_MAX {
            actors.insert(live.id.actor);
            predecessors.push(live.id);
        }
    }
    predecessors.sort_unstable();
    predecessors
}
