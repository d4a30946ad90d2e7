//! What must hold. Each checker looks at one thing alone, and says what it found.

mod once;
mod rest;

use std::collections::BTreeSet;
use std::fmt::Debug;

use barid_core::id::{BatchId, SpaceId};
use barid_core::store::Store;
use barid_server::log::LoggedBatch;

use super::relay::Relay;
use super::{Violation, World};

pub(super) use once::{
    acknowledged_is_durable, acknowledged_survives_a_kill, commit_is_durable, memory_is_bounded,
    nothing_erased_is_sent, of_device, offset_is_durable, one_writer, recorded_survives_on_its_device,
    revoked_links_are_cut, sent_before_durable, stands,
};
pub(super) use rest::{
    after_calm, fresh_diff_is_empty, is_at_rest, is_to_hear_of_its_own, unrest, what_is_adopted_stands,
};

type Checked = Result<(), Violation>;

fn broken(checker: &'static str, found: impl Into<String>) -> Checked {
    Err(Violation::new(checker, found))
}

fn read<T, E: Debug>(what: Result<T, E>) -> Result<T, Violation> {
    what.map_err(|error| Violation::new("what is held can be read", format!("{error:?}")))
}

pub(super) const REST: &str = "everything comes to rest";
pub(super) const DURABLE: &str = "nothing is acknowledged before it is durable";
pub(super) const SENT: &str = "nothing leaves a device before it is durable there";
pub(super) const OFFSET: &str = "no offset leaves the relay before the commit that assigned it";
pub(super) const SURVIVES: &str = "what was acknowledged survives a kill of the relay";
pub(super) const RECORDED_HERE: &str = "what was recorded survives a kill of its device";
pub(super) const CURSOR: &str = "a cursor never skips a batch";
pub(super) const BELIEVED: &str = "a device believes delivered only what the relay holds";
pub(super) const EQUAL: &str = "replicas are equal";
pub(super) const ORDER: &str = "what came in another order, and twice, makes the same rows";
pub(super) const RECORDED: &str = "nothing recorded is lost, and nothing comes twice";
pub(super) const ACKNOWLEDGED: &str = "nothing acknowledged is lost";
pub(super) const HEIGHTS: &str = "the log's offsets rise and its chains are whole";
pub(super) const ONE_WRITER: &str = "no place of a chain is given to two batches";
pub(super) const VIEWS: &str = "views are equal to a replay by whatever clock";
pub(super) const NONSENSE: &str = "nonsense keeps nothing else back";
pub(super) const BOUNDED: &str = "what is on its way on a link is bounded";
pub(super) const FRESH: &str = "a link with nothing to say says nothing";
pub(super) const CUT: &str = "a revoke cuts live links at once";
pub(super) const STANDS: &str = "nothing beyond a known cut reaches a member unadopted";
pub(super) const KEPT: &str = "what is in quarantine is kept until somebody decides";
pub(super) const ADOPTED: &str = "what is adopted stands";
pub(super) const ERASED: &str = "what is erased never returns";
pub(super) const MET: &str = "phones that met have nothing more to give each other";
pub(super) const PHOTO_WHOLE: &str = "what is acknowledged of a photo is whole at the relay";
pub(super) const PHOTOS_THERE: &str = "at rest every photo of every linked phone is at the relay";
pub(super) const SISTERS: &str = "relays that gave each other bundles hold the same";
pub(super) const BROUGHT: &str = "what a bundle brought survives a kill of the relay that took it";
pub(super) const ENGINE: &str = "the engine never fails";
pub(super) const LOG: &str = "the log never fails";
pub(super) const WRITE: &str = "a write succeeds";
pub(super) const TAKEN: &str = "a sound batch is taken";
pub(super) const OPENS: &str = "whoever was killed starts again";

/// The invariants, as their checkers call them.
pub const INVARIANTS: [&str; 34] = [
    REST,
    DURABLE,
    SENT,
    OFFSET,
    SURVIVES,
    RECORDED_HERE,
    CURSOR,
    BELIEVED,
    EQUAL,
    ORDER,
    RECORDED,
    ACKNOWLEDGED,
    HEIGHTS,
    ONE_WRITER,
    VIEWS,
    NONSENSE,
    BOUNDED,
    FRESH,
    CUT,
    STANDS,
    KEPT,
    ADOPTED,
    ERASED,
    MET,
    PHOTO_WHOLE,
    PHOTOS_THERE,
    SISTERS,
    BROUGHT,
    ENGINE,
    LOG,
    WRITE,
    TAKEN,
    OPENS,
    PANIC,
];
pub(super) const PANIC: &str = "nothing panics";

fn log_of(relay: &Relay, space: SpaceId) -> Result<Vec<LoggedBatch>, Violation> {
    let Some(reader) = relay.reader() else { return Ok(Vec::new()) };
    Ok(read(reader.read_after(space, 0, usize::MAX, None))?.batches)
}

fn logged(relay: &Relay) -> Result<BTreeSet<(SpaceId, BatchId)>, Violation> {
    let mut logged = BTreeSet::new();
    for (space, _) in relay.heads() {
        logged.extend(log_of(relay, space)?.iter().map(|batch| (space, batch.batch.id())));
    }
    Ok(logged)
}

/// What a relay has, in its log or in quarantine.
pub(super) fn held(relay: &Relay) -> Result<BTreeSet<(SpaceId, BatchId)>, Violation> {
    let mut held = logged(relay)?;
    for (space, _) in relay.heads() {
        if let Some(reader) = relay.reader() {
            held.extend(read(reader.quarantined(space))?.into_iter().map(|batch| (space, batch.id)));
        }
    }
    Ok(held)
}

/// Every one of these is in the log; or in quarantine, where its author was revoked and the revoke, which
/// came later, cuts before it, or where its author was set back with its token and wrote another batch
/// in the same place before it heard of it.
fn stand_or_fell(world: &World, checker: &'static str, batches: &BTreeSet<(SpaceId, BatchId)>) -> Checked {
    let logged = logged(&world.relay)?;
    for (space, batch) in batches.difference(&logged) {
        let held = read(world.relay.reader().map_or(Ok(Vec::new()), |reader| reader.quarantined(*space)))?;
        let fell = held.iter().find(|held| held.id == *batch);
        if fell.is_some_and(|fell| world.oracle.unaware.contains(&fell.device)) {
            continue;
        }
        let bound = fell.zip(world.relay.membership(*space));
        let bound =
            bound.map(|(fell, membership)| membership.bound(fell.device, fell.incarnation, fell.lane));
        if fell.zip(bound).is_none_or(|(fell, bound)| bound.seq() >= fell.seq) {
            return broken(checker, format!("{batch} is gone"));
        }
    }
    Ok(())
}

/// Killed three times with the same batch in hand, it has set that aside for some openings.
fn lacks_one_for_now(store: &Store) -> Result<bool, Violation> {
    Ok(read(store.counts())?.set_aside > 0)
}
