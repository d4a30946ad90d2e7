//! What a record looks like now.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::id::{ActorId, ChangeHash};
use crate::limits::{CAPTURE_CONFLICTS_MAX, CONFLICT_VALUES_MAX};
use crate::model::{Fields, Value};

use super::{CAPTURE_KEY, Change, OpId, WITHDRAWN_KEY};

/// What a record looks like now: a pure function of its set of changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Folded {
    /// The capture, overlaid by the root keys; without the reserved keys.
    pub fields: Fields,
    /// Whether the record is withdrawn, and nobody changed it meanwhile.
    pub withdrawn: bool,
    /// Fields on which concurrent changes disagree, by name.
    pub conflicts: Vec<Conflict>,
    /// Who made the record. Of several first changes, the one of the lowest actor.
    pub created: Origin,
    /// Who changed it last, by counter and then actor: never by the clock.
    pub updated: Origin,
    /// The highest operation counter.
    pub max_op: u64,
    /// The changes that no other one builds on, ascending.
    pub heads: Vec<ChangeHash>,
}

/// Who wrote a change, and when by their own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The author.
    pub actor: ActorId,
    /// When, as claimed.
    pub time: Timestamp,
}

/// A field on which concurrent changes disagree.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The field; [`WITHDRAWN_KEY`] if some withdrew what others went on changing.
    pub field: String,
    /// The different values, the one that is shown first.
    pub values: Vec<ConflictValue>,
}

/// One side of a conflict.
#[derive(Debug, Clone, PartialEq)]
pub struct ConflictValue {
    /// The value. `None`: a capture without this field, or a change beside a withdrawal.
    pub value: Option<Value>,
    /// Who wrote it.
    pub actor: ActorId,
    /// When, as claimed.
    pub time: Timestamp,
    /// The change that wrote it.
    pub hash: ChangeHash,
}

/// A change cannot be folded alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// It builds on others, which are needed too.
    #[error("folding one change that has ancestors")]
    NotFirst,
}

/// What the first change of a record shows when it is alone, lent by the change.
#[derive(Debug, Clone, PartialEq)]
pub struct FirstFolded<'a> {
    /// The capture, overlaid by the root keys; without the reserved keys.
    pub fields: BTreeMap<&'a str, &'a Value>,
    /// Whether the record is withdrawn.
    pub withdrawn: bool,
    /// Who made it.
    pub origin: Origin,
}

/// Folds a record whose history is this one first change.
pub fn fold_first(change: &Change) -> Result<FirstFolded<'_>, FoldError> {
    if !change.deps.is_empty() {
        return Err(FoldError::NotFirst);
    }
    let mut fields = BTreeMap::new();
    let mut withdrawn = false;
    // `@` sorts before letters and after digits, so overlaying must not rely on the order.
    let capture = change.ops.iter().find(|op| op.key == CAPTURE_KEY);
    if let Some(Some(Value::Map(captured))) = capture.map(|op| &op.value) {
        fields.extend(captured.iter().map(|(name, value)| (name.as_str(), value)));
    }
    for op in &change.ops {
        match (op.key.as_str(), &op.value) {
            (CAPTURE_KEY, _) | (_, None) => {}
            (WITHDRAWN_KEY, Some(value)) => withdrawn = *value == Value::Bool(true),
            (key, Some(value)) => {
                fields.insert(key, value);
            }
        }
    }
    Ok(FirstFolded { fields, withdrawn, origin: Origin { actor: change.actor, time: change.time } })
}

/// The same, to be kept.
pub fn fold_one(change: &Change) -> Result<Folded, FoldError> {
    let FirstFolded { fields, withdrawn, origin } = fold_first(change)?;
    Ok(Folded {
        fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value.clone())).collect(),
        withdrawn,
        conflicts: Vec::new(),
        created: origin,
        updated: origin,
        max_op: change.last_op(),
        heads: vec![change.hash],
    })
}

/// A value that no other one has replaced, and the change that put it.
#[derive(Clone, Copy)]
pub(super) struct Live<'a> {
    pub(super) id: OpId,
    pub(super) value: &'a Value,
    pub(super) change: &'a Change,
}

impl Live<'_> {
    fn side(&self, value: Option<Value>) -> ConflictValue {
        let Change { actor, time, hash, .. } = *self.change;
        ConflictValue { value, actor, time, hash }
    }
}

/// Every root key's live values, the winner first, and what a withdrawal is up against.
pub(super) type LiveKeys<'a> = BTreeMap<&'a str, Vec<Live<'a>>>;

/// Fields and conflicts from the live values. `objections` names the changes that are concurrent
/// with every change given.
pub(super) fn overlay<'a>(
    mut live: LiveKeys<'a>,
    objections: impl FnOnce(&[&'a Change]) -> Vec<&'a Change>,
) -> (Fields, bool, Vec<Conflict>) {
    let captures = live.remove(CAPTURE_KEY).unwrap_or_default();
    let flags = live.remove(WITHDRAWN_KEY).unwrap_or_default();

    let mut fields = captures.first().map(|winner| captured(winner).clone()).unwrap_or_default();
    let mut conflicts = capture_conflicts(&captures, &live);
    for (key, values) in &live {
        conflicts.extend(conflict(key, values.iter().map(|l| (*l, Some(l.value)))));
        if let Some(winner) = values.first() {
            fields.insert((*key).to_owned(), winner.value.clone());
        }
    }
    let (withdrawn, dispute) = withdrawal(&flags, objections);
    conflicts.extend(dispute);
    conflicts.sort_by(|a, b| a.field.cmp(&b.field));
    (fields, withdrawn, conflicts)
}

fn captured<'a>(live: &Live<'a>) -> &'a Fields {
    static NOTHING: Fields = Fields::new();
    match live.value {
        Value::Map(fields) => fields,
        _ => &NOTHING, // the scan lets only maps pass
    }
}

/// Two first changes of one record may disagree on what was captured, field by field.
fn capture_conflicts(captures: &[Live<'_>], live: &LiveKeys<'_>) -> Vec<Conflict> {
    if captures.len() < 2 {
        return Vec::new();
    }
    let names: BTreeSet<&str> =
        captures.iter().flat_map(|c| captured(c).keys().map(String::as_str)).collect();
    names
        .into_iter()
        .filter(|name| !live.contains_key(name))
        .filter_map(|name| conflict(name, captures.iter().map(|c| (*c, captured(c).get(name)))))
        .take(CAPTURE_CONFLICTS_MAX)
        .collect()
}

/// A conflict if the values differ; each different value once, with its highest operation. The
/// bound keeps ten thousand values from being compared with one another.
fn conflict<'a>(field: &str, sides: impl Iterator<Item = (Live<'a>, Option<&'a Value>)>) -> Option<Conflict> {
    let mut values: Vec<ConflictValue> = Vec::new();
    for (live, value) in sides {
        if values.len() == CONFLICT_VALUES_MAX {
            break;
        }
        if !values.iter().any(|side| side.value.as_ref() == value) {
            values.push(live.side(value.cloned()));
        }
    }
    (values.len() > 1).then(|| Conflict { field: field.to_owned(), values })
}

/// Withdrawing loses against anybody who went on with the record without knowing of it: the record
/// stays visible and people decide.
fn withdrawal<'a>(
    flags: &[Live<'a>],
    objections: impl FnOnce(&[&'a Change]) -> Vec<&'a Change>,
) -> (bool, Option<Conflict>) {
    let set = Value::Bool(true);
    let withdrawals: Vec<&Change> = flags.iter().filter(|l| *l.value == set).map(|l| l.change).collect();
    if withdrawals.is_empty() {
        return (false, None);
    }
    let objections = objections(&withdrawals);
    let mut dispute = conflict(WITHDRAWN_KEY, flags.iter().map(|l| (*l, Some(l.value))));
    if objections.is_empty() && flags.first().is_some_and(|winner| *winner.value == set) {
        return (true, dispute);
    }
    let mut values = dispute.take().map_or_else(
        || flags.iter().take(1).map(|l| l.side(Some(l.value.clone()))).collect(),
        |conflict| conflict.values,
    );
    let shown: BTreeSet<ChangeHash> = flags.iter().map(|flag| flag.change.hash).collect();
    let beside = objections.into_iter().filter(|change| !shown.contains(&change.hash));
    values.extend(beside.take(CONFLICT_VALUES_MAX.saturating_sub(values.len())).map(|change| {
        let Change { actor, time, hash, .. } = *change;
        ConflictValue { value: None, actor, time, hash }
    }));
    (false, Some(Conflict { field: WITHDRAWN_KEY.to_owned(), values }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use crate::document::fixture::{actor, at, fields, first, put, puts};
    use crate::document::*;
    use crate::model::{Fields, Kind, Value};

    /// A record that everybody below starts from.
    fn base() -> Vec<u8> {
        let mut kind = Kind::undeclared("test");
        kind.fields = vec![crate::model::Field::captured("lat", crate::model::FieldType::Number)];
        create(actor(0), at(0), &kind, &fields([("lat", 1.5.into()), ("note", "old".into())])).unwrap()
    }

    fn open(raw: &[&[u8]]) -> Document {
        Document::from_changes(raw.iter().copied()).unwrap()
    }

    /// What this actor makes of the record while knowing only these changes.
    fn edit(known: &[&[u8]], by: u8, key: &str, value: impl Into<Option<Value>>) -> Vec<u8> {
        let put = puts([(key, value.into())]);
        open(known).edit(actor(by), at(by.into()), &put).unwrap().unwrap()
    }

    fn conflict_values(folded: &Folded, field: &str) -> Vec<Option<Value>> {
        let conflict = folded.conflicts.iter().find(|c| c.field == field);
        conflict.map_or(Vec::new(), |c| c.values.iter().map(|v| v.value.clone()).collect())
    }

    const TRUE: Value = Value::Bool(true);
    const FALSE: Value = Value::Bool(false);

    #[test]
    fn concurrent_values_are_a_conflict_and_equal_ones_are_not() {
        let base = base();
        let (one, two) =
            (edit(&[&base], 1, "note", Value::from("x")), edit(&[&base], 2, "note", Value::from("y")));
        let folded = open(&[&base, &one, &two]).fold();
        let [shown, other] = &folded.conflicts[0].values[..] else { panic!("two values") };
        assert_eq!(folded.fields["note"], shown.value.clone().unwrap());
        assert!(shown.actor > other.actor, "equal counters: the actor decides");
        assert_eq!(shown.hash, scan(if shown.actor == actor(1) { &one } else { &two }).unwrap().hash);
        assert_eq!(folded.heads.len(), 2);

        let same = edit(&[&base], 2, "note", Value::from("x"));
        assert!(open(&[&base, &one, &same]).fold().conflicts.is_empty());
        let settled = edit(&[&base, &one, &two], 3, "note", shown.value.clone());
        assert!(open(&[&base, &one, &two, &settled]).fold().conflicts.is_empty());
    }

    #[test]
    fn an_own_key_overrides_the_capture_and_removing_it_leaves_null() {
        let base = base();
        let moved = edit(&[&base], 1, "lat", Value::from(2.5));
        assert_eq!(open(&[&base, &moved]).fold().fields["lat"], Value::from(2.5));
        let removed = edit(&[&base, &moved], 1, "lat", None);
        assert_eq!(open(&[&base, &moved, &removed]).fold().fields["lat"], Value::Null);
        let gone = edit(&[&base], 1, "note", None);
        assert_eq!(open(&[&base, &gone]).fold().fields, fields([("lat", 1.5.into())]));
    }

    #[test]
    fn nothing_is_written_for_what_is_so_already() {
        let mut document = open(&[&base()]);
        for same in [
            puts([]),
            puts([("note", Some("old".into())), ("lat", Some(1.5.into()))]),
            puts([("absent", None)]),
            puts([(WITHDRAWN_KEY, Some(FALSE))]),
        ] {
            assert_eq!(document.edit(actor(1), at(1), &same).unwrap(), None);
        }
    }

    #[test]
    fn reserved_names_are_no_fields() {
        let kind = Kind::undeclared("test");
        for name in [CAPTURE_KEY, WITHDRAWN_KEY] {
            let error = create(actor(1), at(0), &kind, &fields([(name, TRUE)])).unwrap_err();
            assert!(matches!(error, EditError::ReservedName));
        }
        let mut document = open(&[&base()]);
        let capture = puts([(CAPTURE_KEY, Some(Value::Map(Fields::new())))]);
        assert!(matches!(document.edit(actor(1), at(1), &capture), Err(EditError::ReservedName)));
        for flag in [None, Some(Value::Int(1))] {
            let wrong = puts([(WITHDRAWN_KEY, flag)]);
            assert!(matches!(document.edit(actor(1), at(1), &wrong), Err(EditError::Encode(_))));
        }
    }

    #[test]
    fn a_record_without_fields_can_be_made() {
        let raw = create(actor(1), at(0), &Kind::undeclared("test"), &Fields::new()).unwrap();
        assert!(fold_one(&scan(&raw).unwrap()).unwrap().fields.is_empty());
    }

    #[test]
    fn withdrawing_hides_and_restoring_shows_again() {
        let base = base();
        let withdrawn = edit(&[&base], 1, WITHDRAWN_KEY, TRUE);
        let folded = open(&[&base, &withdrawn]).fold();
        assert!(folded.withdrawn && folded.conflicts.is_empty());
        // An edit that knows of the withdrawal does not undo it.
        let later = edit(&[&base, &withdrawn], 2, "note", Value::from("x"));
        assert!(open(&[&base, &withdrawn, &later]).fold().withdrawn);
        let restored = edit(&[&base, &withdrawn], 2, WITHDRAWN_KEY, FALSE);
        let folded = open(&[&base, &withdrawn, &restored]).fold();
        assert!(!folded.withdrawn && folded.conflicts.is_empty());
    }

    #[test]
    fn a_withdrawal_beside_an_edit_leaves_the_record_visible_with_a_conflict() {
        let base = base();
        let withdrawn = edit(&[&base], 1, WITHDRAWN_KEY, TRUE);
        let edited = edit(&[&base], 2, "note", Value::from("x"));
        let folded = open(&[&base, &withdrawn, &edited]).fold();
        assert!(!folded.withdrawn);
        assert_eq!(conflict_values(&folded, WITHDRAWN_KEY), [Some(TRUE), None]);
        assert_eq!(folded.fields["note"], Value::from("x"));

        // An edit of both does not settle it; only the flag does, either way.
        let known: [&[u8]; 3] = [&base, &withdrawn, &edited];
        let more = edit(&known, 3, "note", Value::from("z"));
        let folded = open(&[&base, &withdrawn, &edited, &more]).fold();
        assert!(!folded.withdrawn && folded.conflicts.len() == 1);
        for (flag, hidden) in [(TRUE, true), (FALSE, false)] {
            let settled = edit(&known, 3, WITHDRAWN_KEY, flag);
            let folded = open(&[&base, &withdrawn, &edited, &settled]).fold();
            assert_eq!(folded.withdrawn, hidden);
            assert!(folded.conflicts.is_empty());
        }
    }

    #[test]
    fn one_withdrawal_that_knew_the_edit_suffices() {
        let base = base();
        let edited = edit(&[&base], 2, "note", Value::from("x"));
        let blind = edit(&[&base], 1, WITHDRAWN_KEY, TRUE);
        let knowing = edit(&[&base, &edited], 3, WITHDRAWN_KEY, TRUE);
        assert!(open(&[&base, &edited, &blind, &knowing]).fold().withdrawn);
    }

    #[test]
    fn withdrawing_against_restoring_is_a_conflict() {
        let base = base();
        let withdrawn = edit(&[&base], 1, WITHDRAWN_KEY, TRUE);
        let restored = edit(&[&base, &withdrawn], 2, WITHDRAWN_KEY, FALSE);
        let known: [&[u8]; 3] = [&base, &withdrawn, &restored];
        let again = edit(&known, 3, WITHDRAWN_KEY, TRUE);
        assert!(open(&[&base, &withdrawn, &restored, &again]).fold().withdrawn);
        // Somebody else, who has not seen that, restores a second withdrawal.
        let theirs = edit(&known, 4, WITHDRAWN_KEY, TRUE);
        let back = edit(&[&base, &withdrawn, &restored, &theirs], 5, WITHDRAWN_KEY, FALSE);
        let folded = open(&[&base, &withdrawn, &restored, &again, &theirs, &back]).fold();
        assert!(!folded.withdrawn);
        assert_eq!(conflict_values(&folded, WITHDRAWN_KEY)[..2], [Some(FALSE), Some(TRUE)]);
    }

    #[test]
    fn two_captures_of_one_record_are_compared_field_by_field() {
        let capture = |by: u8, lat: f64, extra: &str| {
            let captured = Value::Map(fields([("lat", lat.into()), (extra, TRUE)]));
            encode(&NewChange { actor: actor(by), ..first(vec![put(CAPTURE_KEY, captured)]) }).unwrap()
        };
        let (one, two) = (capture(1, 1.0, "same"), capture(2, 2.0, "same"));
        let folded = open(&[&one, &two]).fold();
        assert_eq!(folded.conflicts.len(), 1);
        assert_eq!(conflict_values(&folded, "lat")[0].as_ref(), folded.fields.get("lat"));
        assert_eq!(folded.created.actor, actor(1).min(actor(2)));
        let settled = edit(&[&one, &two], 3, "lat", Value::from(3.0));
        let folded = open(&[&one, &two, &settled]).fold();
        assert!(folded.conflicts.is_empty());
        assert_eq!(folded.fields["lat"], Value::from(3.0));

        let folded = open(&[&capture(1, 1.0, "a"), &capture(2, 1.0, "b")]).fold();
        assert_eq!(folded.conflicts.len(), 2, "a field that only one captured");
    }

    #[test]
    fn the_clock_decides_nothing() {
        let base = base();
        let one = edit(&[&base], 1, "note", Value::from("x"));
        let mut late = open(&[&base, &one]);
        let early = at(-1_000_000);
        late.edit(actor(0), early, &puts([("note", Some("y".into()))])).unwrap().unwrap();
        let folded = late.fold();
        assert_eq!(folded.fields["note"], Value::from("y"));
        assert_eq!(folded.updated, Origin { actor: actor(0), time: early });
        assert_eq!(folded.created, Origin { actor: actor(0), time: at(0) });
    }

    #[test]
    fn a_record_with_more_concurrent_edits_than_a_change_can_name_can_still_be_edited() {
        let base = base();
        let many: Vec<Vec<u8>> =
            (1..=100u8).map(|by| edit(&[&base], by, "note", Value::Int(by.into()))).collect();
        let all = || std::iter::once(&base[..]).chain(many.iter().map(Vec::as_slice));
        let mut document = Document::from_changes(all()).unwrap();
        assert_eq!(document.fold().conflicts[0].values.len(), crate::limits::CONFLICT_VALUES_MAX);
        // Each by somebody whose own edit is among those that may have been left out.
        for by in [200, 1, 50, 100] {
            let put = puts([("note", Some(Value::from("settled")))]);
            document.edit(actor(by), at(by.into()), &put).unwrap();
            assert_eq!(document.fold().fields["note"], Value::from("settled"));
        }
        assert!(document.fold().conflicts.is_empty());
        assert_eq!(Document::load(document.as_bytes()).unwrap().fold(), document.fold());
    }

    #[test]
    fn a_change_with_ancestors_is_not_folded_alone() {
        let base = base();
        let later = scan(&edit(&[&base], 1, "note", Value::from("x"))).unwrap();
        assert_eq!(fold_one(&later), Err(FoldError::NotFirst));
    }
}
