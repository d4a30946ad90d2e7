//! What must hold. Each checker looks at one thing alone, and says what it found.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;

use barid_core::batch::{BatchKind, BodyEntry, Entry, SealedBatch};
use barid_core::id::{BatchId, ChainId, SpaceId};
use barid_core::store::Store;
use barid_server::log::LoggedBatch;

use super::clock::TEN_YEARS_MS;
use super::relay::{Answer, Relay};
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

/// An acknowledgement is given: by then any process reads the batch in the log.
pub(super) fn acknowledged_is_durable(world: &World, answer: &Answer) -> Checked {
    let Some(reader) = world.relay.reader() else { return broken(DURABLE, "the relay is down") };
    if !world.relay.disk.is_synced() {
        return broken(DURABLE, "the commit is not on the relay's disk");
    }
    let own = read(reader.own_chains(answer.space, answer.device))?;
    let chain = own.iter().find(|c| (c.incarnation, c.lane) == (answer.incarnation, answer.lane));
    if chain.is_some_and(|chain| chain.seq >= answer.seq) {
        Ok(())
    } else {
        broken(DURABLE, format!("batch {} of its chain is not in the log", answer.seq))
    }
}

/// A device sent something while what it had written was not on its disk.
pub(super) fn sent_before_durable(device: usize) -> Violation {
    Violation::new(SENT, format!("device {device} sent a frame before its disk was synced"))
}

/// The relay was killed and started: what it acknowledged is there.
pub(super) fn acknowledged_survives_a_kill(world: &World) -> Checked {
    stand_or_fell(world, SURVIVES, &world.oracle.acknowledged_here)
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
    if device.generation != world.relay.generation || device.is_revoked {
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
        for batch in read(reader.read_after(space, 0, usize::MAX, None))?.batches {
            // What it wrote itself, under whatever name, it has without an offset.
            if batch.batch.header().device == key {
                continue;
            }
            if batch.offset <= cursor.offset && read(store.offset_of(space, batch.batch.id()))?.is_none() {
                if lacks_one_for_now(store)? {
                    return Ok(());
                }
                let (at, offset) = (cursor.offset, batch.offset);
                return broken(CURSOR, format!("device {number} stands at {at} without batch {offset}"));
            }
        }
    }
    Ok(())
}

/// Everything that is asked when all is at rest.
pub(super) fn after_calm(world: &mut World) -> Checked {
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

/// Two batches never get the same place of a chain, whatever became of its writer's memory.
pub(super) fn one_writer(world: &mut World, batch: &SealedBatch) -> Checked {
    world.coverage.count(ONE_WRITER);
    let header = batch.header();
    world.oracle.writers.insert(header.chain(), header.device);
    if world.oracle.unaware.contains(&header.device) {
        return Ok(());
    }
    let first = *world.oracle.chains.entry((header.chain(), header.seq)).or_insert(batch.id());
    if first == batch.id() {
        return Ok(());
    }
    broken(ONE_WRITER, format!("batch {} of a chain is {first} and {}", header.seq, batch.id()))
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

/// A batch that the relay serves stands by the control records that it holds.
pub(super) fn stands(world: &World, batch: &SealedBatch) -> Checked {
    let header = batch.header();
    let Some(membership) = world.relay.membership(header.space) else { return Ok(()) };
    let bound = membership.bound(header.device, header.incarnation, header.lane);
    if header.seq <= bound.seq() {
        return Ok(());
    }
    broken(STANDS, format!("batch {} of a chain that ends at {}", header.seq, bound.seq()))
}

/// No link of a phone that was just revoked is still the link of a member.
pub(super) fn revoked_links_are_cut(world: &World, number: usize) -> Checked {
    let is_open = |link: &&super::Connection| {
        link.device == number && link.relay_end.as_ref().is_some_and(|end| !end.spaces.is_empty())
    };
    match world.links.values().find(is_open) {
        None => Ok(()),
        Some(_) => broken(CUT, format!("device {number} is still linked as a member")),
    }
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
pub(super) fn what_is_adopted_stands(world: &World) -> Checked {
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

/// A batch that leaves the relay has nothing in it that was erased by then.
pub(super) fn nothing_erased_is_sent(world: &World, batch: &SealedBatch) -> Checked {
    let Some(membership) = world.relay.membership(batch.header().space) else { return Ok(()) };
    if !membership.has_erasures() {
        return Ok(());
    }
    for entry in &read(batch.open())?.entries {
        if let BodyEntry::Present { entry: Entry::Change(change), .. } = entry
            && membership.is_erased(&change.kind, change.record)
        {
            return broken(ERASED, format!("{} {} is sent", change.kind, change.record));
        }
    }
    Ok(())
}

/// What waits on a link is bounded by the credit that was given, and not by what there is to say.
pub(super) fn memory_is_bounded(world: &mut World, len: usize, len_max: usize) -> Checked {
    world.coverage.count(BOUNDED);
    if len <= len_max { Ok(()) } else { broken(BOUNDED, format!("{len} bytes are on their way")) }
}

/// What is told of a commit is told after it.
pub(super) fn commit_is_durable(world: &mut World) -> Checked {
    world.coverage.count(OFFSET);
    if world.relay.disk.is_synced() { Ok(()) } else { broken(OFFSET, "the relay's disk is not synced") }
}

/// A batch leaves the relay with its offset: any process reads it there.
pub(super) fn offset_is_durable(world: &mut World, offset: u64, batch: &SealedBatch) -> Checked {
    commit_is_durable(world)?;
    // To ask the database each time would be a large part of a world.
    if !world.random.one_in(4) {
        return Ok(());
    }
    let Some(reader) = world.relay.reader() else { return broken(OFFSET, "the relay is down") };
    let page = read(reader.read_after(batch.header().space, offset.saturating_sub(1), 1, None))?;
    if page.batches.first().is_some_and(|at| at.offset == offset && at.batch.id() == batch.id()) {
        Ok(())
    } else {
        broken(OFFSET, format!("offset {offset} is another batch's, or nobody's"))
    }
}

/// Everybody linked anew when nothing was left to say.
pub(super) fn fresh_diff_is_empty(world: &World) -> Checked {
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
