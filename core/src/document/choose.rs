//! Which of the changes held of one record are part of it: a pure function of all of them.
//!
//! A change counts on its own account, because its batch stands, or on behalf of one that builds on
//! it: then exactly its ancestry counts, change by change. Of two changes under one sequence number of
//! one author only one can be part of a document. What order they came in plays no role anywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Change;
use super::history::History;
use crate::id::{ActorId, ChangeHash};

/// A change that is held.
#[derive(Debug)]
pub struct Candidate {
    /// What it says.
    pub change: Arc<Change>,
    /// Where its author's chain has it, if that part of the chain stands: it counts on its own account.
    pub counts_at: Option<(u64, u64)>,
}

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is part of the record.
    Part,
    /// It counts, and something that it builds on is not here.
    Waits,
    /// It counts, and another change has its author's sequence number.
    SequenceReused,
    /// It counts, and contradicts what it builds on.
    ContradictsAncestors,
    /// Nothing that counts builds on it.
    Spare,
}

/// Decides on all changes that are held of one record.
pub fn choose(candidates: &BTreeMap<ChangeHash, Candidate>) -> BTreeMap<ChangeHash, Fate> {
    let usable = usable(candidates);
    let sound = sound(candidates, &usable);
    let counts = |hash: &ChangeHash| candidates[hash].counts_at.is_some();
    let roots = usable.iter().filter(|hash| counts(hash) && sound.get(*hash) == Some(&true));
    let part = with_ancestors(candidates, roots.copied().collect());
    let fate = |(hash, candidate): (&ChangeHash, &Candidate)| {
        let fate = if part.contains(hash) {
            Fate::Part
        } else if candidate.counts_at.is_none() {
            Fate::Spare
        } else if !usable.contains(hash) {
            Fate::SequenceReused
        } else if sound.contains_key(hash) {
            Fate::ContradictsAncestors
        } else {
            Fate::Waits
        };
        (*hash, fate)
    };
    candidates.iter().map(fate).collect()
}

type Slot = (ActorId, u64);

fn slot(candidate: &Candidate) -> Slot {
    (candidate.change.actor, candidate.change.seq)
}

/// The changes that may become part: of one author's sequence number the first that counts, whatever
/// becomes of it; if none counts, the smallest of those that others build on.
fn usable(candidates: &BTreeMap<ChangeHash, Candidate>) -> BTreeSet<ChangeHash> {
    let mut first: HashMap<Slot, (&(u64, u64), ChangeHash)> = HashMap::new();
    for (hash, candidate) in candidates {
        let Some(at) = &candidate.counts_at else { continue };
        let found = first.entry(slot(candidate)).or_insert((at, *hash));
        *found = (*found).min((at, *hash));
    }
    let mut usable: BTreeSet<ChangeHash> = first.values().map(|(_, hash)| *hash).collect();
    let mut spare: HashMap<Slot, ChangeHash> = HashMap::new();
    let mut seen = usable.clone();
    let mut next: Vec<ChangeHash> = usable.iter().copied().collect();
    while let Some(candidate) = next.pop().map(|hash| &candidates[&hash]) {
        for dep in &candidate.change.deps {
            let Some(ancestor) = candidates.get(dep) else { continue };
            if first.contains_key(&slot(ancestor)) || !seen.insert(*dep) {
                continue;
            }
            let smallest = spare.entry(slot(ancestor)).or_insert(*dep);
            *smallest = (*smallest).min(*dep);
            next.push(*dep);
        }
    }
    usable.extend(spare.into_values());
    usable
}

/// Goes through the changes from their ancestors on: whether each is sound. What builds on something that
/// is not here, or not sound, is left out.
fn sound(
    candidates: &BTreeMap<ChangeHash, Candidate>,
    usable: &BTreeSet<ChangeHash>,
) -> HashMap<ChangeHash, bool> {
    let mut missing: HashMap<ChangeHash, usize> = HashMap::new();
    let mut builds_on: HashMap<ChangeHash, Vec<ChangeHash>> = HashMap::new();
    let mut ready = Vec::new();
    for hash in usable {
        let deps = &candidates[hash].change.deps;
        for dep in deps {
            builds_on.entry(*dep).or_default().push(*hash);
        }
        missing.insert(*hash, deps.len());
        if deps.is_empty() {
            ready.push(*hash);
        }
    }
    let mut history = History::default();
    let mut sound = HashMap::new();
    while let Some(hash) = ready.pop() {
        let change = &candidates[&hash].change;
        let is_sound = history.check(change).is_ok();
        sound.insert(hash, is_sound);
        if !is_sound {
            continue;
        }
        history.push(Arc::clone(change));
        for next in builds_on.remove(&hash).unwrap_or_default() {
            let left = missing.entry(next).or_default();
            *left = left.saturating_sub(1);
            if *left == 0 {
                ready.push(next);
            }
        }
    }
    sound
}

fn with_ancestors(
    candidates: &BTreeMap<ChangeHash, Candidate>,
    mut next: Vec<ChangeHash>,
) -> BTreeSet<ChangeHash> {
    let mut found = BTreeSet::new();
    while let Some(hash) = next.pop() {
        if found.insert(hash) {
            next.extend(candidates[&hash].change.deps.iter().filter(|dep| candidates.contains_key(*dep)));
        }
    }
    found
}

/// What these changes build on and does not count on its own account.
pub fn ancestry_beyond(
    candidates: &BTreeMap<ChangeHash, Candidate>,
    from: Vec<ChangeHash>,
) -> BTreeSet<ChangeHash> {
    let from = from.into_iter().filter(|hash| candidates.contains_key(hash)).collect();
    let mut found = with_ancestors(candidates, from);
    found.retain(|hash| candidates[hash].counts_at.is_none());
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::document::fixture::{actor, at, first, put, puts, rewritten};
    use crate::document::{Document, encode, scan};

    fn created() -> Vec<u8> {
        encode(&first(vec![put("note", "a")])).unwrap()
    }

    fn edit(known: &[&[u8]], by: u8, value: &str) -> Vec<u8> {
        let puts = puts([("note", Some(value.into()))]);
        Document::from_changes(known.iter().copied())
            .unwrap()
            .edit(actor(by), at(by.into()), &puts)
            .unwrap()
            .unwrap()
    }

    /// Each change, and where it counts.
    fn fates<const N: usize>(held: [(&[u8], Option<u64>); N]) -> [Fate; N] {
        let read = |(raw, seq): (&[u8], Option<u64>)| {
            let change = Arc::new(scan(raw).unwrap());
            (change.hash, Candidate { change, counts_at: seq.map(|seq| (seq, 0)) })
        };
        let chosen = choose(&held.iter().copied().map(read).collect());
        held.map(|(raw, _)| chosen[&scan(raw).unwrap().hash])
    }

    #[test]
    fn exactly_the_ancestry_of_what_counts_is_part() {
        let first = created();
        let late = edit(&[&first], 1, "late");
        let later = edit(&[&first, &late], 1, "later");
        let other = edit(&[&first], 2, "other");
        let built = edit(&[&first, &late], 3, "built on it");
        use Fate::{Part, Spare, Waits};
        let without = [(&first[..], Some(1)), (&late, None), (&later, None), (&other, Some(1))];
        assert_eq!(fates(without), [Part, Spare, Spare, Part]);
        let with = [(&first[..], Some(1)), (&late, None), (&later, None), (&built, Some(1))];
        assert_eq!(fates(with), [Part, Part, Spare, Part]);
        assert_eq!(fates([(&first[..], Some(1)), (&later, None), (&built, Some(1))]), [Part, Spare, Waits]);
    }

    #[test]
    fn of_one_sequence_number_the_first_that_counts_is_part_and_before_anything_carried() {
        let first = created();
        let (one, two) = (edit(&[&first], 1, "b"), edit(&[&first], 1, "c"));
        let on_one = edit(&[&first, &one], 2, "on b");
        let on_two = edit(&[&first, &two], 3, "on c");
        use Fate::{Part, SequenceReused, Spare, Waits};
        let both = [(&first[..], Some(1)), (&one, Some(3)), (&two, Some(2))];
        assert_eq!(fates(both), [Part, SequenceReused, Part]);
        let carried = [(&first[..], Some(1)), (&one, None), (&two, Some(2)), (&on_one, Some(1))];
        assert_eq!(fates(carried), [Part, Spare, Part, Waits]);
        // Neither counts: the smaller one stands, and only what builds on it.
        let neither =
            [(&first[..], Some(1)), (&one, None), (&two, None), (&on_one, Some(1)), (&on_two, Some(1))];
        let expected = if scan(&one).unwrap().hash < scan(&two).unwrap().hash {
            [Part, Part, Spare, Part, Waits]
        } else {
            [Part, Spare, Part, Waits, Part]
        };
        assert_eq!(fates(neither), expected);
    }

    #[test]
    fn what_contradicts_its_ancestors_keeps_its_place_and_is_no_part() {
        let first = created();
        let mut wrong = rewritten(&scan(&edit(&[&first], 1, "b")).unwrap());
        wrong.start_op += 7;
        let raw = encode(&wrong).unwrap();
        let right = edit(&[&first], 1, "c");
        let fates = fates([(&first[..], Some(1)), (&raw, Some(2)), (&right, Some(3))]);
        assert_eq!(fates, [Fate::Part, Fate::ContradictsAncestors, Fate::SequenceReused]);
    }
}
