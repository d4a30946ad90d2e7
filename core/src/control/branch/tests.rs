//! Claims about the standing branch.

use proptest::prelude::*;

use super::*;

fn batch(byte: u8) -> BatchId {
    BatchId::from_bytes([byte; 32])
}

/// The batch `id` at `seq`, after `prev`.
fn link(id: u8, seq: u64, prev: u8) -> Link {
    Link { id: batch(id), seq, prev: batch(prev) }
}

fn pin(seq: u64, id: u8) -> Pin {
    Pin { seq, batch: batch(id) }
}

fn cut(seq: u64, id: u8) -> Bound {
    Bound::new(pin(seq, id), [])
}

fn stands(links: &[Link], bound: &Bound) -> Vec<u8> {
    standing(links, bound).iter().map(|id| id.as_bytes()[0]).collect()
}

/// 10, 20, 30, 40, and from the second place on a branch of smaller ids: 10, 2, 3, 4, 5.
fn forked() -> Vec<Link> {
    vec![
        link(10, 1, 0),
        link(20, 2, 10),
        link(30, 3, 20),
        link(40, 4, 30),
        link(2, 2, 10),
        link(3, 3, 2),
        link(4, 4, 3),
        link(5, 5, 4),
    ]
}

#[test]
fn without_a_bound_the_branch_with_the_smaller_first_batch_stands() {
    assert_eq!(stands(&forked(), &Bound::unbounded()), [10, 2, 3, 4, 5]);
    assert_eq!(stands(&forked()[..4], &Bound::unbounded()), [10, 20, 30, 40]);
    // Only what comes first is compared, and only what is joined to the beginning counts.
    assert_eq!(stands(&[link(9, 1, 0), link(1, 2, 8), link(8, 1, 0)], &Bound::unbounded()), [8, 1]);
    assert_eq!(stands(&[link(1, 2, 8), link(2, 3, 1)], &Bound::unbounded()), [0u8; 0]);
}

#[test]
fn a_cut_keeps_its_branch_and_nothing_beyond_it() {
    assert_eq!(stands(&forked(), &cut(3, 30)), [10, 20, 30]);
    assert_eq!(stands(&forked(), &cut(3, 3)), [10, 2, 3]);
    assert_eq!(stands(&forked(), &cut(0, 0)), [0u8; 0]);
    // At its place no other batch stands, even while the one that is meant has not come.
    assert_eq!(stands(&forked()[4..], &cut(3, 30)), [0u8; 0]);
    let without_cut: Vec<_> = forked().into_iter().filter(|link| link.id != batch(30)).collect();
    assert_eq!(stands(&without_cut, &cut(3, 30)), [10, 2]);
}

#[test]
fn what_is_adopted_stands_with_what_leads_to_it_and_nothing_else() {
    let cut_at_two = |adopted: &[Pin]| Bound::new(pin(2, 20), adopted.iter().copied());
    assert_eq!(stands(&forked(), &cut_at_two(&[pin(3, 30)])), [10, 20, 30]);
    assert_eq!(stands(&forked(), &cut_at_two(&[pin(3, 30), pin(4, 40)])), [10, 20, 30, 40]);
    // Of two branches beyond the cut the one adopted further stands.
    let both = [forked(), vec![link(6, 3, 20), link(7, 4, 6)]].concat();
    assert_eq!(stands(&both, &cut_at_two(&[pin(4, 40), pin(3, 6)])), [10, 20, 30, 40]);
    assert_eq!(stands(&both, &cut_at_two(&[pin(4, 7), pin(3, 30)])), [10, 20, 6, 7]);
}

#[test]
fn an_adopt_of_a_forged_branch_does_not_displace_what_stood_at_the_cut() {
    let bound = Bound::new(pin(3, 30), [pin(5, 5)]);
    assert_eq!(stands(&forked(), &bound), [10, 20, 30]);
    // Nor does it let stand what nobody adopted.
    let longer = [forked(), vec![link(50, 5, 40)]].concat();
    assert_eq!(stands(&longer, &bound), [10, 20, 30]);
}

#[test]
fn what_may_lead_to_an_adopted_batch_stands_until_that_batch_tells() {
    let bound = Bound::new(pin(1, 10), [pin(4, 40)]);
    let held = |ids: &[u8]| -> Vec<_> {
        forked().into_iter().filter(|link| ids.contains(&link.id.as_bytes()[0])).collect()
    };
    assert_eq!(stands(&held(&[10, 20]), &bound), [10, 20]);
    assert_eq!(stands(&held(&[10, 20, 40]), &bound), [10, 20], "the one between may come yet");
    assert_eq!(stands(&held(&[10, 20, 2, 3]), &bound), [10, 2, 3]);
    assert_eq!(stands(&held(&[10, 20, 30, 40, 2, 3]), &bound), [10, 20, 30, 40]);
    assert_eq!(stands(&held(&[10, 2, 3, 4]), &bound), [10, 2, 3], "another batch is at its place");
}

#[test]
fn a_batch_that_lies_about_its_place_leads_nowhere() {
    let links = [link(10, 1, 0), link(20, 3, 10), link(30, 4, 20), link(11, 2, 10)];
    assert_eq!(stands(&links, &cut(4, 30)), [10, 11]);
}

#[test]
fn what_does_not_stand_is_beyond_the_bound_or_on_another_branch() {
    assert_eq!(reason(4, &cut(3, 30)), QuarantineReason::Revoked);
    assert_eq!(reason(3, &cut(3, 30)), QuarantineReason::Fork);
    assert_eq!(reason(9, &Bound::unbounded()), QuarantineReason::Fork);
}

/// A tree of batches: each after one that was drawn before it, or at the beginning.
fn tree() -> impl Strategy<Value = Vec<Link>> {
    let ids = prop::collection::hash_set(1u8..=255, 1..40);
    let parents = prop::collection::vec(any::<prop::sample::Index>(), 40);
    (ids, parents).prop_map(|(ids, parents)| {
        let mut links: Vec<Link> = Vec::new();
        for (id, parent) in ids.into_iter().zip(parents) {
            // Mostly on from the newest, or few chains would be long.
            let at = parent.index(links.len() * 2 + 1);
            let before = links.get(if at < links.len() { at } else { links.len().wrapping_sub(1) });
            let (seq, prev) = before.map_or((1, batch(0)), |before| (before.seq + 1, before.id));
            links.push(Link { id: batch(id), seq, prev });
        }
        links
    })
}

/// A bound with its cut and adopts at some batches of the tree, or none.
fn tree_and_bound() -> impl Strategy<Value = (Vec<Link>, Bound)> {
    let picks = prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    (tree(), picks).prop_map(|(links, picks)| {
        let mut pins =
            picks.iter().map(|pick| pick.get(&links)).map(|link| Pin { seq: link.seq, batch: link.id });
        let bound = pins.next().map_or_else(Bound::unbounded, |cut| Bound::new(cut, pins));
        (links, bound)
    })
}

/// A batch and all before it, from the first on.
fn ancestry(links: &[Link], of: BatchId) -> Vec<BatchId> {
    let find = |id: &BatchId| links.iter().find(|link| link.id == *id);
    let mut all: Vec<_> =
        std::iter::successors(find(&of), |link| find(&link.prev)).map(|link| link.id).collect();
    all.reverse();
    all
}

proptest! {
    #[test]
    fn the_order_in_which_batches_came_does_not_matter(
        ((links, bound), shuffled) in tree_and_bound()
            .prop_flat_map(|(links, bound)| (Just((links.clone(), bound)), Just(links).prop_shuffle()))
    ) {
        let twice = [shuffled.clone(), shuffled].concat();
        prop_assert_eq!(standing(&links, &bound), standing(&twice, &bound));
    }

    #[test]
    fn what_stands_is_one_chain_within_the_bound((links, bound) in tree_and_bound()) {
        let branch = standing(&links, &bound);
        prop_assert!(branch.len() as u64 <= bound.seq());
        if let Some(last) = branch.last() {
            prop_assert_eq!(ancestry(&links, *last), branch);
        } else {
            prop_assert!(false, "every pin is held, so something stands");
        }
    }

    #[test]
    fn a_pinned_branch_always_wins((links, bound) in tree_and_bound()) {
        let branch = standing(&links, &bound);
        if let Some(cut) = bound.cut() {
            let trunk = ancestry(&links, cut.batch);
            prop_assert_eq!(&branch[..trunk.len()], &trunk[..]);
            // And what stands beyond it was adopted, to the last.
            let is_adopted = |id: &BatchId| bound.adopted().any(|pin| pin.batch == *id);
            prop_assert!(branch.len() == trunk.len() || branch.last().is_some_and(is_adopted));
        }
    }

    /// A seized phone makes as many batches as it likes, with ids as small as it likes.
    #[test]
    fn no_forgery_displaces_what_stood_when_the_device_was_revoked(
        (links, forged_after) in (tree(), prop::collection::vec(any::<prop::sample::Index>(), 1..30))
    ) {
        let honest = standing(&links, &Bound::unbounded());
        let honest: Vec<Link> = honest
            .iter()
            .filter_map(|id| links.iter().find(|link| link.id == *id).copied())
            .collect();
        let last = honest[honest.len() - 1];
        let bound = Bound::new(Pin { seq: last.seq, batch: last.id }, []);
        let mut all = honest.clone();
        for (number, after) in (0u8..).zip(&forged_after) {
            let before = after.get(&all);
            let mut id = [0; 32];
            id[31] = number + 1;
            all.push(Link { id: BatchId::from_bytes(id), seq: before.seq + 1, prev: before.id });
        }
        let stood: Vec<_> = honest.iter().map(|link| link.id).collect();
        prop_assert_eq!(standing(&all, &bound), stood);
    }
}
