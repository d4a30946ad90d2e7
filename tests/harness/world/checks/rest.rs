//! What holds when all is at rest.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use barid_core::batch::{BatchKind, SealedBatch};
use barid_core::id::{BatchId, ChainId, SpaceId};
use barid_core::store::Store;

use super::*;
use crate::world::clock::TEN_YEARS_MS;
use crate::world::relay::Relay;
use crate::world::{Violation, World};

/// Bytes of frames that a link with nothing to say takes, both ways together.
const FRESH_LEN_MAX: usize = 500;

/// Whether nothing is on its way and nobody waits for anything.
pub(in crate::world) fn is_at_rest(world: &World) -> bool {
    world.relay.is_up() && !world.relay.is_behind() && unrest_of_devices(world).is_none()
}

/// Why the world is not at rest.
pub(in crate::world) fn unrest(world: &World) -> String {
    let relay = (world.relay.is_up(), world.relay.is_behind());
    let device = unrest_of_devices(world).unwrap_or_default();
    format!("relay up {}, commit waits {}; {device}", relay.0, relay.1)
}

fn unrest_of_devices(world: &World) -> Option<String> {
    let heads = world.relay.heads();
    for (number, device) in world.devices.iter().enumerate().filter(|(_, device)| !device.is_lost) {
        let link = device.link.and_then(|id| world.links.get(&id));
        let Some(link) = link else { return Some(format!("device {number} has no link")) };
        let (Some(end), Some(_)) = (&link.device_end, &link.relay_end) else {
            return Some(format!("device {number} has half a link"));
        };
        if !end.link.is_up_to_date() || link.up.is_busy() || link.down.is_busy() {
            return Some(format!("device {number} is not up to date: {:?}", end.link.progress()));
        }
    }
    // Only now, because it asks every database.
    for (number, device) in world.devices.iter().enumerate().filter(|(_, device)| !device.is_lost) {
        let store = device.store.as_ref()?;
        // One that was set back learns from the log what became of its work, and a revoked one gets none of it.
        let is_left_alone = device.is_revoked && world.oracle.forgetful.contains(&device.identity.device());
        let counts = store.counts().ok()?;
        if counts.unsent_changes > 0 && !is_left_alone {
            return Some(format!("device {number} has something unsent: {counts:?}"));
        }
        if let Some(unrest) = world.unrest_of_photos(store).filter(|_| !device.is_revoked) {
            return Some(format!("device {number}: {unrest}"));
        }
        let spaces = if device.is_revoked { &[][..] } else { &device.spaces[..] };
        for (space, head) in heads.iter().filter(|(space, _)| spaces.contains(space)) {
            let cursor = store.cursor(*space).ok()?.map_or(0, |cursor| cursor.offset);
            if cursor != *head {
                return Some(format!("device {number} stands at {cursor} of {head}"));
            }
        }
    }
    None
}

/// Everything that is asked when all is at rest.
pub(in crate::world) fn after_calm(world: &mut World) -> Checked {
    for device in 0..world.devices.len() {
        world.check(CURSOR, |world| of_device(world, device))?;
    }
    world.check(HEIGHTS, |world| heights_are_whole(world))?;
    world.check(ACKNOWLEDGED, |world| nothing_acknowledged_is_lost(world))?;
    let error_ms = world.random.pick(&[0, TEN_YEARS_MS, -TEN_YEARS_MS]);
    let replay = world.relay.replay(error_ms).map_err(|found| Violation::new(VIEWS, found))?;
    world.check(STANDS, nothing_stands_beyond_a_cut)?;
    world.check(KEPT, quarantine_is_kept)?;
    world.check(ERASED, |world| what_is_erased_is_gone(world, &replay))?;
    world.check(EQUAL, |world| replicas_are_equal(world, &replay))?;
    world.check(RECORDED, |world| nothing_recorded_is_lost(world, &replay))?;
    world.check(VIEWS, |world| views_equal_a_replay(world, &replay))?;
    world.check(NONSENSE, |world| nonsense_keeps_nothing_back(world, &replay))?;
    world.check(PHOTOS_THERE, |world| world.photos_are_at_the_relay())?;
    if world.sister.is_some() {
        world.check(SISTERS, |world| sisters_are_equal(world, &replay))?;
    }
    if world.random.one_in(6) {
        world.check(ORDER, |world| order_makes_no_difference(world, &replay))?;
    }
    let conflicts = barid_core::store::Query { conflicts_only: true, ..Default::default() };
    let in_conflict = read(replay.count(&conflicts))?;
    world.coverage.add("records in conflict at rest", in_conflict);
    Ok(())
}

/// A replica that is given every chain by itself, or all of them mixed in another way than the log
/// has them, and some of it twice.
fn order_makes_no_difference(world: &mut World, replay: &Store) -> Checked {
    let other = world.relay.empty_replica(0);
    for space in world.authority.spaces {
        let mut chains: BTreeMap<ChainId, VecDeque<SealedBatch>> = BTreeMap::new();
        for logged in log_of(&world.relay, space)? {
            chains.entry(logged.batch.header().chain()).or_default().push_back(logged.batch);
        }
        let mut offset = 0;
        // Control records go first on every link, and in every bundle.
        let is_control = |chain: &VecDeque<SealedBatch>| {
            chain.front().is_some_and(|batch| batch.header().kind == BatchKind::Control)
        };
        let first: Vec<ChainId> =
            chains.iter().filter(|(_, chain)| is_control(chain)).map(|(name, _)| *name).collect();
        for batch in first.into_iter().filter_map(|name| chains.remove(&name)).flatten() {
            offset += 1;
            read(other.ingest(space, &[(offset, batch)], None))?;
        }
        while !chains.is_empty() {
            let names: Vec<ChainId> = chains.keys().copied().collect();
            let name = world.random.pick(&names);
            let count = world.random.between(1, 5) as usize;
            let Some(chain) = chains.get_mut(&name) else { continue };
            let taken: Vec<_> = chain.drain(..count.min(chain.len())).collect();
            if chain.is_empty() {
                chains.remove(&name);
            }
            let batches: Vec<_> = taken
                .into_iter()
                .map(|batch| {
                    offset += 1;
                    (offset, batch)
                })
                .collect();
            for _ in 0..world.random.between(1, 2) {
                read(other.ingest(space, &batches, None))?;
            }
        }
        if read(other.digest(space))? != read(replay.digest(space))? {
            return broken(ORDER, "the rows differ");
        }
    }
    Ok(())
}

/// The sister relay is given what the other has: then both have the same batches, and so the same rows.
fn sisters_are_equal(world: &mut World, replay: &Store) -> Checked {
    let here = logged(&world.relay)?;
    let Some(sister) = world.bring_sister_up_to_date()? else { return Ok(()) };
    let there = logged(sister)?;
    if here != there {
        let (lacks, more) = (here.difference(&there).count(), there.difference(&here).count());
        return broken(SISTERS, format!("the sister lacks {lacks} batches and has {more} others"));
    }
    let rows = sister.replay(0).map_err(|found| Violation::new(SISTERS, found))?;
    for (space, _) in sister.heads() {
        chains_are_whole(sister, space)?;
        if read(rows.digest(space))? != read(replay.digest(space))? {
            return broken(SISTERS, "the rows differ");
        }
    }
    Ok(())
}

fn heights_are_whole(world: &World) -> Checked {
    world.authority.spaces.iter().try_for_each(|space| chains_are_whole(&world.relay, *space))
}

fn chains_are_whole(relay: &Relay, space: SpaceId) -> Checked {
    let mut ends: BTreeMap<_, (u64, BatchId)> = BTreeMap::new();
    let mut before = 0;
    for batch in log_of(relay, space)? {
        let header = batch.batch.header();
        // What stands no longer leaves its place empty.
        if batch.offset <= before {
            return broken(HEIGHTS, format!("offset {} comes after {before}", batch.offset));
        }
        before = batch.offset;
        let end = ends.entry(header.chain()).or_insert((0, BatchId::from_bytes([0; 32])));
        if header.seq != end.0 + 1 || header.prev != end.1 {
            return broken(HEIGHTS, format!("batch {} follows batch {} of its chain", header.seq, end.0));
        }
        *end = (header.seq, batch.batch.id());
    }
    Ok(())
}

fn nothing_acknowledged_is_lost(world: &World) -> Checked {
    stand_or_fell(world, ACKNOWLEDGED, &world.oracle.acknowledged)
}

fn replicas_are_equal(world: &World, replay: &Store) -> Checked {
    for (number, device) in world.devices.iter().enumerate() {
        // What it wrote itself a revoked phone goes on to see.
        let Some(store) = device.store.as_ref().filter(|_| !device.is_revoked) else { continue };
        // One that was set back with its token learns at its next link what it wrote before.
        let is_unaware = world.oracle.unaware.contains(&device.identity.device());
        if lacks_one_for_now(store)? || is_unaware {
            continue;
        }
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
    for (space, kind, id) in world.oracle.loose.values().flatten() {
        if read(replay.get(*space, kind, *id))?.is_none() {
            return broken(RECORDED, format!("{kind} {id} of a database that was set back is lost"));
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
    world.relay.catch_up().map_err(|found| Violation::new(VIEWS, found))?;
    for space in world.authority.spaces {
        if read(world.relay.views.digest(space))? != read(replay.digest(space))? {
            return broken(VIEWS, "the rows kept up to date differ");
        }
    }
    Ok(())
}

fn nonsense_keeps_nothing_back(world: &World, replay: &Store) -> Checked {
    let space = world.authority.spaces[0];
    let phones = world.devices.iter().filter(|device| !device.is_revoked);
    let stores = phones.filter_map(|device| device.store.as_ref());
    for store in stores.chain([replay]) {
        if lacks_one_for_now(store)? {
            continue;
        }
        for (patrol, chunk) in &world.rogue.chunks {
            let tracks = read(store.tracks(space, *patrol))?;
            if !tracks.iter().any(|track| track.chunk.id == *chunk) {
                return broken(NONSENSE, "a chunk that stands behind it is missing");
            }
        }
    }
    Ok(())
}

/// No batch of a revoked phone is served beyond its cut, unless it was adopted.
fn nothing_stands_beyond_a_cut(world: &mut World) -> Checked {
    for space in world.authority.spaces {
        for logged in log_of(&world.relay, space)? {
            stands(world, &logged.batch)?;
        }
    }
    Ok(())
}

/// What the relay said it keeps is in its quarantine, or in its log by now.
fn quarantine_is_kept(world: &mut World) -> Checked {
    let held = held(&world.relay)?;
    match world.oracle.quarantined.difference(&held).next() {
        None => Ok(()),
        Some((_, batch)) => broken(KEPT, format!("{batch} is gone")),
    }
}

/// What an administrator adopted is in the log, once its author has linked: what was discarded before it
/// is asked for again, which an author that is gone, or was set back, cannot answer.
pub(in crate::world) fn what_is_adopted_stands(world: &World) -> Checked {
    let logged = logged(&world.relay)?;
    for ((space, batch), device) in &world.oracle.adopted {
        let is_whole = !world.oracle.discarded.contains(&(*space, *device));
        if (is_whole || !world.oracle.forgetful.contains(device)) && !logged.contains(&(*space, *batch)) {
            return broken(ADOPTED, format!("{batch} is not in the log"));
        }
    }
    Ok(())
}

/// No replica shows a record that was erased.
fn what_is_erased_is_gone(world: &World, replay: &Store) -> Checked {
    let phones = world.devices.iter().filter(|device| !device.is_revoked);
    let phones = phones.filter_map(|device| Some((device.store.as_ref()?, &device.spaces[..])));
    for (store, spaces) in phones.chain([(replay, &world.authority.spaces[..])]) {
        if lacks_one_for_now(store)? {
            continue;
        }
        for (space, kind, id) in world.oracle.erased.iter().filter(|(space, ..)| spaces.contains(space)) {
            let is_shown = read(store.get(*space, kind, *id))?.is_some();
            if is_shown || !read(store.history(*space, kind, *id))?.is_empty() {
                return broken(ERASED, format!("{kind} {id} is shown again"));
            }
        }
    }
    Ok(())
}

/// Whether the log holds what a phone wrote before it was set back, and another brought while the phone was
/// linked: a relay sends nobody its own batches, so the phone hears of it when it links next.
pub(in crate::world) fn is_to_hear_of_its_own(world: &World) -> Result<bool, Violation> {
    let Some(reader) = world.relay.reader() else { return Ok(false) };
    for device in world.devices.iter().filter(|device| !device.is_revoked) {
        let key = device.identity.device();
        let Some(store) = device.store.as_ref().filter(|_| world.oracle.forgetful.contains(&key)) else {
            continue;
        };
        for space in &device.spaces {
            let own = read(reader.own_chains(*space, key))?;
            if read(store.lacks_own(*space, &own))? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Everybody linked anew when nothing was left to say.
pub(in crate::world) fn fresh_diff_is_empty(world: &World) -> Checked {
    for (number, device) in world.devices.iter().enumerate().filter(|(_, device)| !device.is_revoked) {
        let Some(link) = device.link.and_then(|id| world.links.get(&id)) else { continue };
        let Some(end) = &link.device_end else { continue };
        let progress = end.link.progress();
        let (batches, len) = (progress.up.batches + progress.down.batches, link.up.len + link.down.len);
        // A thumbnail that nobody has is asked for again.
        if batches > 0 || (len > FRESH_LEN_MAX && !world.has_photos()) {
            return broken(FRESH, format!("device {number}: {batches} batches, {len} bytes"));
        }
    }
    Ok(())
}
