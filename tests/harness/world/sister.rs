//! The sister centre's relay: another log of the same spaces, to which no phone of the world links.
//!
//! Bundles alone carry what is new, between the two relays, from phones to it, and from both to phones.
//! It has a disk, a clock and an end of its own. A quarter of the worlds have one; the others are drawn as
//! they were before there was any.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64};

use barid_core::bundle::BundleScope;
use barid_core::id::{BatchId, SpaceId};

use super::clock::{NodeClock, TEN_YEARS_MS};
use super::disk::{Disk, End, Fault};
use super::random::Random;
use super::relay::Relay;
use super::{Double, Violation, World, checks};

/// Bundles that lie about; of more the oldest is lost.
const BUNDLES_MAX: usize = 6;

/// Who gives a bundle, and who is given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Relay,
    Sister,
    Device(usize),
}

/// The other relay, and what is on its way to it or from it.
#[derive(Debug)]
pub(crate) struct Sister {
    random: Random,
    pub(crate) relay: Relay,
    bundles: Vec<(Node, Vec<u8>)>,
    /// What bundles had brought when one was last taken in whole.
    brought: BTreeSet<(SpaceId, BatchId)>,
}

/// Whether the world of a seed has a sister relay.
pub(super) fn has_sister(seed: u64) -> bool {
    matches!(seed % 8, 6 | 7)
}

impl Sister {
    pub(super) fn new(
        seed: u64,
        time: &Arc<AtomicI64>,
        folder: &Path,
        is_observed: &Arc<AtomicBool>,
        spaces: &[SpaceId],
    ) -> Self {
        let mut random = Random::new(seed.rotate_left(29) ^ 0x7369_7374_6572);
        let disk = Disk::new(folder.join("sister"), is_observed);
        let relay = Relay::new(&mut random, NodeClock::new(time), disk, spaces, Double::Honest);
        Self { random, relay, bundles: Vec::new(), brought: BTreeSet::new() }
    }
}

impl World {
    /// Somebody carries something to or from the sister relay, or something befalls it.
    pub(super) fn trade(&mut self) -> Result<(), Violation> {
        let count = self.devices.len();
        let Some(sister) = &mut self.sister else { return Ok(()) };
        let phone = Node::Device(sister.random.below(count));
        match sister.random.below(32) {
            0..=2 => self.pack(Node::Relay, Node::Sister)?,
            3..=5 => self.pack(Node::Sister, Node::Relay)?,
            6 => self.pack(Node::Relay, phone)?,
            7 => self.pack(Node::Sister, phone)?,
            8..=9 => self.pack(phone, Node::Sister)?,
            10..=15 => self.unpack()?,
            fault => self.befall_sister(fault - 16)?,
        }
        Ok(())
    }

    fn befall_sister(&mut self, which: usize) -> Result<(), Violation> {
        let Some(Sister { random, relay, brought, .. }) = &mut self.sister else { return Ok(()) };
        match which {
            0 if relay.is_up() => self.kill_sister(),
            1 if relay.is_up() => {
                let (after, end) = (random.between(1, 40) as u64, End::draw(random));
                relay.disk.doom(after, end, random.fork());
            }
            2 if relay.is_up() => relay.back_up(),
            3 if relay.is_up() && relay.restore(random).is_some() => {
                brought.clear();
                self.coverage.count("sister relay's folder replaced by an older copy");
            }
            4 => {
                let fault = random.pick(&Fault::ALL);
                relay.disk.fail(fault, random.between(0, 30) as u64, random.between(1, 20) as u64);
            }
            5 => relay.clock.set_error(random.between(-TEN_YEARS_MS, TEN_YEARS_MS)),
            6..=9 => self.start_sister()?,
            _ => {}
        }
        Ok(())
    }

    fn kill_sister(&mut self) {
        let Some(Sister { random, relay, .. }) = &mut self.sister else { return };
        let end = End::draw(random);
        relay.kill(end, random);
        self.coverage.count("sister relay killed");
        self.count_sisters_disk();
    }

    pub(super) fn count_sisters_disk(&mut self) {
        let counts = self.sister.as_ref().map(|sister| sister.relay.disk.take_counts());
        for (what, count) in counts.into_iter().flatten() {
            self.coverage.add(what, count);
        }
    }

    fn start_sister(&mut self) -> Result<(), Violation> {
        let Some(Sister { random, relay, .. }) = &mut self.sister else { return Ok(()) };
        if relay.is_up() {
            return Ok(());
        }
        relay.disk.take_has_failed();
        let started = relay.start();
        if relay.disk.is_dead() {
            relay.kill(End::Killed, random);
            return Ok(());
        }
        if let Err(found) = started {
            let is_excused = relay.disk.take_has_failed();
            return if is_excused { Ok(()) } else { Err(Violation::new(checks::OPENS, found)) };
        }
        self.check(checks::BROUGHT, |world| world.what_was_brought_is_there())
    }

    fn what_was_brought_is_there(&self) -> Result<(), Violation> {
        let Some(Sister { relay, brought, .. }) = &self.sister else { return Ok(()) };
        match brought.difference(&checks::held(relay)?).next() {
            None => Ok(()),
            Some((_, batch)) => Err(Violation::new(checks::BROUGHT, format!("{batch} is gone"))),
        }
    }

    /// One writes a bundle for another.
    fn pack(&mut self, from: Node, to: Node) -> Result<(), Violation> {
        let written = match from {
            Node::Device(number) => self.phone_writes(number, to, &BundleScope::Everything)?,
            Node::Relay | Node::Sister => self.relay_writes(from, to)?,
        };
        let Some((sister, bytes)) = self.sister.as_mut().zip(written) else { return Ok(()) };
        sister.bundles.push((to, bytes));
        if sister.bundles.len() > BUNDLES_MAX {
            sister.bundles.remove(0);
        }
        Ok(())
    }

    /// A bundle comes to whom it is for: most are whole, and some come again.
    fn unpack(&mut self) -> Result<(), Violation> {
        let Some(Sister { random, bundles, .. }) = &mut self.sister else { return Ok(()) };
        if bundles.is_empty() {
            return Ok(());
        }
        let at = random.below(bundles.len());
        let (to, mut bytes) = if random.one_in(4) { bundles[at].clone() } else { bundles.remove(at) };
        if random.one_in(6) {
            bytes.truncate(random.below(bytes.len() + 1));
            self.coverage.count("bundles torn");
        }
        self.comes_to(to, &bytes)
    }

    pub(super) fn comes_to(&mut self, to: Node, bytes: &[u8]) -> Result<(), Violation> {
        match to {
            Node::Relay => self.relay_reads(bytes),
            Node::Sister => self.sister_reads(bytes),
            Node::Device(number) => self.phone_reads(number, bytes),
        }
    }

    /// A relay writes a bundle, if it runs and has anything for its recipient.
    fn relay_writes(&mut self, from: Node, to: Node) -> Result<Option<Vec<u8>>, Violation> {
        let key = self.key_of(to);
        let Some(Sister { random, relay: sister, .. }) = &mut self.sister else { return Ok(None) };
        let relay = if from == Node::Sister { &*sister } else { &self.relay };
        let spaces = match to {
            Node::Device(_) => relay.due(key),
            Node::Relay | Node::Sister => self.authority.spaces.map(|space| (space, true)).to_vec(),
        };
        if !relay.is_up() || spaces.is_empty() {
            return Ok(None);
        }
        relay.disk.take_has_failed();
        match relay.give(key, &spaces, random.bytes()) {
            Ok(bytes) => {
                self.coverage.count("bundles written by a relay");
                Ok(Some(bytes))
            }
            Err(_) if relay.disk.take_has_failed() => Ok(None),
            Err(found) => Err(Violation::new(checks::LOG, found)),
        }
    }

    fn sister_reads(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let Some(Sister { relay, .. }) = &mut self.sister else { return Ok(()) };
        if !relay.is_up() {
            return Ok(());
        }
        relay.disk.take_has_failed();
        let taken = relay.take_bundle(bytes);
        if relay.disk.is_dead() {
            self.kill_sister();
            return Ok(());
        }
        match taken {
            Ok(_) => {}
            Err(_) if relay.disk.take_has_failed() => return Ok(()),
            Err(error) => return Err(Violation::new(checks::LOG, format!("{error:?}"))),
        }
        self.observe(|world| match &mut world.sister {
            Some(Sister { relay, brought, .. }) => checks::held(relay).map(|held| *brought = held),
            None => Ok(()),
        })?;
        self.coverage.count("bundles read by the sister relay");
        Ok(())
    }

    /// Nothing goes wrong any more: what each relay has comes to the other.
    pub(super) fn reconcile(&mut self) -> Result<(), Violation> {
        let Some(Sister { relay, bundles, .. }) = &mut self.sister else { return Ok(()) };
        relay.disk.heal();
        let late = std::mem::take(bundles);
        self.start_sister()?;
        for (to, bytes) in late {
            self.comes_to(to, &bytes)?;
        }
        for (from, to) in [(Node::Relay, Node::Sister), (Node::Sister, Node::Relay)] {
            if let Some(bytes) = self.relay_writes(from, to)? {
                self.comes_to(to, &bytes)?;
            }
        }
        Ok(())
    }

    /// Gives the sister relay what the other has, which must be taken whole; what it has then.
    pub(super) fn bring_sister_up_to_date(&mut self) -> Result<Option<&Relay>, Violation> {
        let Some(bytes) = self.relay_writes(Node::Relay, Node::Sister)? else { return Ok(None) };
        let Some(Sister { relay, .. }) = &mut self.sister else { return Ok(None) };
        let taken = relay.take_bundle(&bytes).map_err(|error| format!("{error:?}"));
        match taken {
            Ok(Some(imported)) if imported.is_whole() => Ok(Some(relay)),
            other => Err(Violation::new(checks::SISTERS, format!("a whole bundle: {other:?}"))),
        }
    }
}
