//! What holds at any time: of a frame that leaves, an answer that is given, a node that starts again.

use barid_core::batch::{BodyEntry, Entry, SealedBatch};

use super::*;
use crate::world::relay::Answer;
use crate::world::{Connection, Violation, World};

/// An acknowledgement is given: by then any process reads the batch in the log.
pub(in crate::world) fn acknowledged_is_durable(world: &World, answer: &Answer) -> Checked {
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
pub(in crate::world) fn sent_before_durable(device: usize) -> Violation {
    Violation::new(SENT, format!("device {device} sent a frame before its disk was synced"))
}

/// The relay was killed and started: what it acknowledged is there.
pub(in crate::world) fn acknowledged_survives_a_kill(world: &World) -> Checked {
    stand_or_fell(world, SURVIVES, &world.oracle.acknowledged_here)
}

/// A device was killed and started: what it recorded is there.
pub(in crate::world) fn recorded_survives_on_its_device(world: &World, number: usize) -> Checked {
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
pub(in crate::world) fn of_device(world: &World, number: usize) -> Checked {
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

/// Two batches never get the same place of a chain, whatever became of its writer's memory.
pub(in crate::world) fn one_writer(world: &mut World, batch: &SealedBatch) -> Checked {
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

/// A batch that the relay serves stands by the control records that it holds.
pub(in crate::world) fn stands(world: &World, batch: &SealedBatch) -> Checked {
    let header = batch.header();
    let Some(membership) = world.relay.membership(header.space) else { return Ok(()) };
    let bound = membership.bound(header.device, header.incarnation, header.lane);
    if header.seq <= bound.seq() {
        return Ok(());
    }
    broken(STANDS, format!("batch {} of a chain that ends at {}", header.seq, bound.seq()))
}

/// No link of a phone that was just revoked is still the link of a member.
pub(in crate::world) fn revoked_links_are_cut(world: &World, number: usize) -> Checked {
    let is_open = |link: &&Connection| {
        link.device == number && link.relay_end.as_ref().is_some_and(|end| !end.spaces.is_empty())
    };
    match world.links.values().find(is_open) {
        None => Ok(()),
        Some(_) => broken(CUT, format!("device {number} is still linked as a member")),
    }
}

/// A batch that leaves the relay has nothing in it that was erased by then.
pub(in crate::world) fn nothing_erased_is_sent(world: &World, batch: &SealedBatch) -> Checked {
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
pub(in crate::world) fn memory_is_bounded(world: &mut World, len: usize, len_max: usize) -> Checked {
    world.coverage.count(BOUNDED);
    if len <= len_max { Ok(()) } else { broken(BOUNDED, format!("{len} bytes are on their way")) }
}

/// What is told of a commit is told after it.
pub(in crate::world) fn commit_is_durable(world: &mut World) -> Checked {
    world.coverage.count(OFFSET);
    if world.relay.disk.is_synced() { Ok(()) } else { broken(OFFSET, "the relay's disk is not synced") }
}

/// A batch leaves the relay with its offset: any process reads it there.
pub(in crate::world) fn offset_is_durable(world: &mut World, offset: u64, batch: &SealedBatch) -> Checked {
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
