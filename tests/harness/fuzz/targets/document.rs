//! Many changes of one record, sound and lying, by a small language: whatever joins, Automerge takes,
//! shows alike, and shows alike in any order.

use automerge::Automerge;
use barid_core::clock::Timestamp;
use barid_core::document::{
    self, CAPTURE_KEY, Document as Record, NewChange, Op, OpId, WITHDRAWN_KEY, encode, scan,
};
use barid_core::id::{ActorId, ChangeHash};
use barid_core::model::{Fields, Value};

use super::super::{Target, bits, kind, signal};
use super::Choices;
use super::change::assert_same_as_automerge;

/// Changes that one input makes, at most.
const CHANGES_MAX: usize = 24;
const KEYS: [&str; 8] = [CAPTURE_KEY, WITHDRAWN_KEY, "a", "b", "c", "note/1", "Z", "ا"];

/// The input says who writes what on top of what, and in what each lies.
pub(super) struct Document;

/// A change that was written, whether it joined or not.
pub(super) struct Written {
    pub(super) raw: Vec<u8>,
    pub(super) change: document::Change,
    joined: bool,
}

/// Everybody who writes on one record, and what they made of it.
#[derive(Default)]
pub(super) struct Authors {
    record: Option<Record>,
    pub(super) written: Vec<Written>,
    outcomes: Vec<u64>,
}

impl Authors {
    /// Writes the next change that the choices say, if it can be written at all. `actor` names them.
    pub(super) fn write(
        &mut self,
        choices: &mut Choices<'_>,
        actor: impl Fn(usize) -> ActorId,
    ) -> Option<&Written> {
        let raw = encode(&next_change(choices, &self.written, actor)).ok()?;
        let change = scan(&raw).unwrap();
        let joined = match &mut self.record {
            None => Record::from_changes([raw.as_slice()]).map(|opened| self.record = Some(opened)),
            Some(record) => record.apply(&raw),
        };
        self.outcomes.push(joined.as_ref().map_or_else(kind, |()| 0));
        self.written.push(Written { raw, change, joined: joined.is_ok() });
        self.written.last()
    }
}

impl Target for Document {
    fn name(&self) -> &'static str {
        "document"
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        seeds()
    }

    fn len_max(&self) -> usize {
        512
    }

    fn run(&mut self, input: &[u8]) -> u64 {
        let mut choices = Choices(input);
        let mut authors = Authors::default();
        while !choices.is_over() && authors.written.len() < CHANGES_MAX {
            authors.write(&mut choices, actor);
        }
        let Authors { record, written, mut outcomes } = authors;
        let Some(record) = record else { return signal(outcomes) };
        let folded = record.fold();
        let joined: Vec<&Written> = written.iter().filter(|written| written.joined).collect();
        let mut theirs = Automerge::new();
        let changes =
            joined.iter().map(|written| automerge::Change::from_bytes(written.raw.clone()).unwrap());
        theirs.apply_changes(changes).unwrap();
        assert_same_as_automerge(&folded, &theirs);
        let backwards = Record::from_changes(joined.iter().rev().map(|written| written.raw.as_slice()));
        assert_eq!(backwards.unwrap().fold(), folded, "the order of arrival decides nothing");
        assert_eq!(Record::load(record.as_bytes()).unwrap().fold(), folded, "what was saved opens as it was");
        outcomes.sort_unstable();
        outcomes.dedup();
        signal((outcomes, bits(joined.len()), folded.conflicts.len(), folded.withdrawn, folded.heads.len()))
    }
}

fn actor(number: usize) -> ActorId {
    ActorId::from_bytes([(number as u8).wrapping_mul(151) ^ 0x5a; 16])
}

/// One change as the choices say: honest by default, each bit of the first choice is a lie.
fn next_change(
    choices: &mut Choices<'_>,
    written: &[Written],
    actor: impl Fn(usize) -> ActorId,
) -> NewChange {
    let head = choices.byte();
    let author = actor(usize::from(head & 7));
    let lies = |bit: u8| head & (8 << bit) != 0;
    let own: Vec<&Written> = written.iter().filter(|one| one.joined && one.change.actor == author).collect();
    let mut deps: Vec<ChangeHash> = Vec::new();
    for _ in 0..choices.below(4) {
        let at = choices.below(written.len());
        deps.extend(written.get(at).filter(|one| one.joined || lies(2)).map(|one| one.change.hash));
    }
    if !lies(2) {
        deps.extend(own.last().map(|one| one.change.hash));
    }
    deps.sort_unstable();
    deps.dedup();
    let held = written.iter().filter(|one| deps.contains(&one.change.hash));
    let mut start_op = held.map(|one| one.change.last_op()).max().unwrap_or(0) + 1;
    let mut seq = own.len() as u64 + 1;
    if lies(0) {
        seq = [0, 1, 2, seq + 1, u64::from(u32::MAX)][choices.below(5)];
    }
    if lies(1) {
        start_op = [0, 1, 2, start_op + 1, u64::from(u32::MAX)][choices.below(5)];
    }
    let mut ops: Vec<Op> = Vec::new();
    for _ in 0..1 + choices.below(4) {
        let key = KEYS[choices.below(KEYS.len())].to_owned();
        let value = value(choices, &key);
        let mut predecessors = Vec::new();
        for _ in 0..choices.below(3) {
            let Some(of) = written.get(choices.below(written.len())) else { continue };
            let nth = choices.below(4) as u64;
            let id = OpId { counter: of.change.start_op + nth, actor: of.change.actor };
            let same_key = of.change.ops.iter().position(|op| op.key == key);
            match same_key {
                Some(place) if !lies(3) => predecessors
                    .push(OpId { counter: of.change.start_op + place as u64, actor: of.change.actor }),
                _ => predecessors.push(id),
            }
        }
        predecessors.sort_unstable();
        predecessors.dedup();
        ops.push(Op { key, value, predecessors });
    }
    if !lies(4) {
        ops.sort_by(|a, b| a.key.cmp(&b.key));
        ops.dedup_by(|a, b| a.key == b.key);
    }
    let time = Timestamp::from_millis(written.len() as i64);
    NewChange { actor: author, seq, start_op, time, deps, ops }
}

fn value(choices: &mut Choices<'_>, key: &str) -> Option<Value> {
    let captured = |at: usize| Value::Map(Fields::from([(["x", "a"][at % 2].to_owned(), Value::Int(1))]));
    match (choices.byte(), key) {
        (at, CAPTURE_KEY) if at < 200 => Some(captured(at.into())),
        (at, WITHDRAWN_KEY) if at < 200 => Some(Value::Bool(at.is_multiple_of(2))),
        (at, _) => match at % 8 {
            0 => None,
            1 => Some(Value::Null),
            2 => Some(Value::Int(at.into())),
            3 => Some(Value::Float(f64::from(at) / 2.0)),
            4 => Some("ب".into()),
            5 => Some(Value::Bytes(vec![at])),
            6 => Some(Value::List(vec![Value::Null])),
            _ => Some(Value::Bool(true)),
        },
    }
}

/// Two who create, three who edit side by side, one who settles; then each kind of lie.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let honest: &[u8] = &[
        0, 0, 0, 2, 2, 1, 0, 3, 2, 0, //
        1, 1, 0, 1, 2, 2, 1, 0, 0, //
        2, 1, 0, 1, 2, 3, 1, 0, 0, //
        3, 2, 1, 2, 1, 2, 1, 2, 1, 0, 2, 0,
    ];
    let lies = (0..5u8).map(|lie| [honest, &[8 << lie | 1, 2, 0, 1, 2, 4, 1, 0, 0]].concat());
    std::iter::once(honest.to_vec()).chain(lies).collect()
}
