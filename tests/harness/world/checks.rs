//! What must hold. Each checker looks at one thing alone, and says what it found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use barid_core::id::{BatchId, SpaceId};
use barid_core::store::Store;
use barid_server::log::LoggedBatch;

use super::relay::Answer;
use super::{Violation, World};

/// Bytes of frames that a link with nothing to say takes, both ways together.
const FRESH_LEN_MAX: usize = 500;

type Checked = Result<(), Violation>;

fn broken(checker: &'static str, found: impl Into<String>) -> Checked {
    Err(Violation::new(checker, found))
}

fn read<T, E: Debug>(what: Result<T, E>) -> Result<T, Violation> {
    what.map_err(|error| Violation::new("what is held can be read", format!("{error:?}")))
}

/// The names of the invariants, as the checkers call them.
pub const INVARIANTS: [&str; 18] = [
    REST,
    DURABLE,
    SURVIVES,
    RECORDED_HERE,
    CURSOR,
    BELIEVED,
    EQUAL,
    RECORDED,
    ACKNOWLEDGED,
    HEIGHTS,
    VIEWS,
    NONSENSE,
    FRESH,
    "the engine never fails",
    "the log never fails",
    "a write succeeds",
    "a sound batch is taken",
    "nothing panics",
];

const REST: &str = "everything comes to rest";
const DURABLE: &str = "nothing is acknowledged before it is durable";
const SURVIVES: &str = "what was acknowledged survives a kill of the relay";
const RECORDED_HERE: &str = "what was recorded survives a kill of its device";
const CURSOR: &str = "a cursor never skips a batch";
const BELIEVED: &str = "a device believes delivered only what the relay holds";
const EQUAL: &str = "replicas are equal";
const RECORDED: &str = "nothing recorded is lost, and nothing comes twice";
const ACKNOWLEDGED: &str = "nothing acknowledged is lost";
const HEIGHTS: &str = "the log is dense and its chains are whole";
const VIEWS: &str = "views are equal to a replay";
const NONSENSE: &str = "nonsense keeps nothing else back";
const FRESH: &str = "a link with nothing to say says nothing";

/// Whether nothing is on its way and nobody waits for anything.
pub(super) fn is_at_rest(world: &World) -> bool {
    world.relay.is_up() && !world.relay.is_behind() && unrest_of_devices(world).is_none()
}

/// Why the world is not at rest.
pub(super) fn unrest(world: &World) -> String {
    let relay = (world.relay.is_up(), world.relay.is_behind());
    let device = unrest_of_devices(world).unwrap_or_default();
    format!("relay up {}, commit waits {}; {device}", relay.0, relay.1)
}

fn unrest_of_devices(world: &World) -> Option<String> {
    let heads = world.relay.heads();
    for (number, device) in world.devices.iter().enumerate() {
        let link = device.link.and_then(|id| world.links.get(&id));
        let Some(link) = link else { return Some(format!("device {number} has no link")) };
        let (Some(end), Some(_)) = (&link.device_end, &link.relay_end) else {
            return Some(format!("device {number} has half a link"));
        };
        if !end.link.is_up_to_date() || link.up.on_the_way() + link.down.on_the_way() > 0 {
            return Some(format!("device {number} is not up to date: {:?}", end.link.progress()));
        }
    }
    // Only now, because it asks every database.
    for (number, device) in world.devices.iter().enumerate() {
        let store = device.store.as_ref()?;
        if store.counts().ok()?.unsent_changes > 0 {
            return Some(format!("device {number} has something unsent"));
        }
        for (space, head) in heads.iter().filter(|(space, _)| device.spaces.contains(space)) {
            let cursor = store.cursor(*space).ok()?.map_or(0, |cursor| cursor.offset);
            if cursor != *head {
                return Some(format!("device {number} stands at {cursor} of {head}"));
            }
        }
    }
    None
}

/// An acknowledgement is given: by then any process reads the batch in the log.
pub(super) fn acknowledged_is_durable(world: &World, answer: &Answer) -> Checked {
    let Some(reader) = world.relay.reader() else { return broken(DURABLE, "the relay is down") };
    let own = read(reader.own_chains(answer.space, answer.device))?;
    let chain = own.iter().find(|c| (c.incarnation, c.lane) == (answer.incarnation, answer.lane));
    if chain.is_some_and(|chain| chain.seq >= answer.seq) {
        Ok(())
    } else {
        broken(DURABLE, format!("batch {} of its chain is not in the log", answer.seq))
    }
}

/// The relay was killed and started: what it acknowledged is there.
pub(super) fn acknowledged_survives_a_kill(world: &World) -> Checked {
    let logged = logged(world)?;
    match world.oracle.acknowledged_here.iter().find(|batch| !logged.contains(batch)) {
        None => Ok(()),
        Some((_, batch)) => broken(SURVIVES, format!("{batch} is gone")),
    }
}

/// A device was killed and started: what it recorded is there.
pub(super) fn recorded_survives_on_its_device(world: &World, number: usize) -> Checked {
    let device = &world.devices[number];
    let (Some(store), key) = (&device.store, device.identity.device()) else { return Ok(()) };
    let mine = world.oracle.recorded_by.get(&key);
    for ((space, kind, id), hash) in mine.into_iter().flatten() {
        let history = read(store.history(*space, kind, *id))?;
        if !history.iter().any(|entry| entry.hash == *hash) {
            return broken(RECORDED_HERE, format!("device {number} lost a change of {kind} {id}"));
        }
    }
    Ok(())
}

/// What can be asked of one device at any time.
pub(super) fn of_device(world: &World, number: usize) -> Checked {
    let device = &world.devices[number];
    let (Some(store), Some(reader)) = (&device.store, world.relay.reader()) else { return Ok(()) };
    // One that has not heard of a restoration believes what was true before.
    if device.generation != world.relay.generation {
        return Ok(());
    }
    let key = device.identity.device();
    for position in read(store.positions())? {
        let space = position.space;
        let held = read(reader.own_chains(space, key))?;
        for own in &position.own {
            let chain = held.iter().find(|c| (c.incarnation, c.lane) == (own.incarnation, own.lane));
            if chain.is_none_or(|chain| chain.seq < own.seq) {
                return broken(
                    BELIEVED,
                    format!("device {number} believes {own:?}, the relay holds {chain:?}"),
                );
            }
        }
        let Some(cursor) = position.cursor else { continue };
        let foreign = Some((key, store.incarnation()));
        for batch in read(reader.read_after(space, 0, usize::MAX, foreign))?.batches {
            if batch.offset <= cursor.offset && read(store.offset_of(space, batch.batch.id()))?.is_none() {
                let (at, offset) = (cursor.offset, batch.offset);
                return broken(CURSOR, format!("device {number} stands at {at} without batch {offset}"));
            }
        }
    }
    Ok(())
}

/// Everything that is asked when all is at rest.
pub(super) fn after_calm(world: &mut World) -> Checked {
    (0..world.devices.len()).try_for_each(|device| of_device(world, device))?;
    heights_are_whole(world)?;
    nothing_acknowledged_is_lost(world)?;
    let replay = world.relay.replay().map_err(|found| Violation::new("views follow the log", found))?;
    replicas_are_equal(world, &replay)?;
    nothing_recorded_is_lost(world, &replay)?;
    views_equal_a_replay(world, &replay)?;
    nonsense_keeps_nothing_back(world, &replay)?;
    let conflicts = barid_core::store::Query { conflicts_only: true, ..Default::default() };
    let in_conflict = read(replay.count(&conflicts))?;
    world.coverage.add("records in conflict at rest", in_conflict);
    Ok(())
}

fn log_of(world: &World, space: SpaceId) -> Result<Vec<LoggedBatch>, Violation> {
    let Some(reader) = world.relay.reader() else { return Ok(Vec::new()) };
    Ok(read(reader.read_after(space, 0, usize::MAX, None))?.batches)
}

fn logged(world: &World) -> Result<BTreeSet<(SpaceId, BatchId)>, Violation> {
    let mut logged = BTreeSet::new();
    for space in world.authority.spaces {
        logged.extend(log_of(world, space)?.iter().map(|batch| (space, batch.batch.id())));
    }
    Ok(logged)
}

fn heights_are_whole(world: &World) -> Checked {
    for space in world.authority.spaces {
        let mut ends: BTreeMap<_, (u64, BatchId)> = BTreeMap::new();
        for (place, batch) in (1..).zip(log_of(world, space)?) {
            let header = batch.batch.header();
            if batch.offset != place {
                return broken(HEIGHTS, format!("offset {} stands at place {place}", batch.offset));
            }
            let end = ends.entry(header.chain()).or_insert((0, BatchId::from_bytes([0; 32])));
            if header.seq != end.0 + 1 || header.prev != end.1 {
                return broken(HEIGHTS, format!("batch {} follows batch {} of its chain", header.seq, end.0));
            }
            *end = (header.seq, batch.batch.id());
        }
    }
    Ok(())
}

fn nothing_acknowledged_is_lost(world: &World) -> Checked {
    let logged = logged(world)?;
    match world.oracle.acknowledged.iter().find(|batch| !logged.contains(batch)) {
        None => Ok(()),
        Some((_, batch)) => broken(ACKNOWLEDGED, format!("{batch} is gone")),
    }
}

fn replicas_are_equal(world: &World, replay: &Store) -> Checked {
    for (number, device) in world.devices.iter().enumerate() {
        let Some(store) = &device.store else { continue };
        for space in &device.spaces {
            if read(store.digest(*space))? != read(replay.digest(*space))? {
                return broken(EQUAL, format!("device {number} differs from a replay of the log"));
            }
        }
    }
    Ok(())
}

fn nothing_recorded_is_lost(world: &World, replay: &Store) -> Checked {
    for ((space, kind, id), recorded) in &world.oracle.recorded {
        let history = read(replay.history(*space, kind, *id))?;
        let held: BTreeSet<_> = history.iter().map(|entry| entry.hash).collect();
        if held.len() != history.len() {
            return broken(RECORDED, format!("a change of {kind} {id} is there twice"));
        }
        if !recorded.is_subset(&held) {
            let lost = recorded.difference(&held).count();
            return broken(RECORDED, format!("{lost} changes of {kind} {id} are lost"));
        }
    }
    for ((space, patrol), recorded) in &world.oracle.tracks {
        let tracks = read(replay.tracks(*space, *patrol))?;
        let held: BTreeSet<_> = tracks.iter().map(|track| (track.device, track.chunk.id)).collect();
        if held.len() != tracks.len() || !recorded.is_subset(&held) {
            return broken(RECORDED, format!("{} of {} track chunks", held.len(), recorded.len()));
        }
    }
    Ok(())
}

fn views_equal_a_replay(world: &World, replay: &Store) -> Checked {
    world.relay.catch_up().map_err(|found| Violation::new("views follow the log", found))?;
    for space in world.authority.spaces {
        if read(world.relay.views.digest(space))? != read(replay.digest(space))? {
            return broken(VIEWS, "the rows kept up to date differ");
        }
    }
    Ok(())
}

fn nonsense_keeps_nothing_back(world: &World, replay: &Store) -> Checked {
    let space = world.authority.spaces[0];
    let stores = world.devices.iter().filter_map(|device| device.store.as_ref());
    for store in stores.chain([replay]) {
        for (patrol, chunk) in &world.rogue.chunks {
            let tracks = read(store.tracks(space, *patrol))?;
            if !tracks.iter().any(|track| track.chunk.id == *chunk) {
                return broken(NONSENSE, "a chunk that stands behind it is missing");
            }
        }
    }
    Ok(())
}

/// Everybody linked anew when nothing was left to say.
pub(super) fn fresh_diff_is_empty(world: &World) -> Checked {
    for (number, device) in world.devices.iter().enumerate() {
        let Some(link) = device.link.and_then(|id| world.links.get(&id)) else { continue };
        let Some(end) = &link.device_end else { continue };
        let progress = end.link.progress();
        let (batches, len) = (progress.up.batches + progress.down.batches, link.up.len + link.down.len);
        if batches > 0 || len > FRESH_LEN_MAX {
            return broken(FRESH, format!("device {number}: {batches} batches, {len} bytes"));
        }
    }
    Ok(())
}
