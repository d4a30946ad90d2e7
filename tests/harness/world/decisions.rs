//! What administrators decide: who is revoked, what of its late work stands, what is erased.

use barid_core::batch::Lane;
use barid_core::control::{Cut, Discarded, adopt, discard, erase, revoke_device};
use barid_core::id::{Incarnation, SpaceId};

use super::oracle::Promise;
use super::{Violation, World, checks};

impl World {
    /// An administrator decides something, if the relay is there to be asked.
    pub(super) fn decide(&mut self, device: usize) -> Result<(), Violation> {
        if !self.relay.is_up() {
            return Ok(());
        }
        match self.random.below(6) {
            0 | 1 => self.revoke(device),
            2 => self.judge_late_work(true),
            3 => self.judge_late_work(false),
            _ => self.erase(),
        }
    }

    /// A phone is trusted no longer, beyond what the relay holds of it now.
    fn revoke(&mut self, number: usize) -> Result<(), Violation> {
        let trusted = self.devices.iter().filter(|device| !device.is_lost && !device.is_revoked).count();
        let device = &self.devices[number];
        if device.is_revoked || device.is_lost || !device.is_admitted || trusted < 3 {
            return Ok(());
        }
        let (key, spaces) = (device.identity.device(), device.spaces.clone());
        let mut statements = Vec::with_capacity(spaces.len());
        for space in &spaces {
            let cut = self.observe(|world| world.relay.reader().map(|reader| reader.own_chains(*space, key)));
            let Some(Ok(chains)) = cut else { return Ok(()) };
            let cut = chains.into_iter().map(|chain| Cut {
                incarnation: chain.incarnation,
                lane: chain.lane,
                seq: chain.seq,
                batch: chain.batch,
            });
            let made = revoke_device(key, "lost", cut.collect()).expect("a sound statement");
            statements.push((*space, made));
        }
        for (space, made) in statements {
            self.authority.sign(&mut self.random, space, &made);
        }
        self.devices[number].is_revoked = true;
        // What the relay has acknowledged stands; of all else nothing is promised any more.
        self.oracle.set_back(key, &Promise::default());
        self.oracle.revoked.insert(key);
        self.coverage.count("devices revoked");
        self.coverage
            .add("devices revoked while they were linked", u64::from(self.devices[number].link.is_some()));
        self.bring()?;
        if self.brought.0 == self.authority.batches.len() {
            self.check(checks::CUT, |world| checks::revoked_links_are_cut(world, number))?;
        }
        Ok(())
    }

    /// What is in quarantine of a revoked phone is to stand, or may go.
    fn judge_late_work(&mut self, is_adopted: bool) -> Result<(), Violation> {
        let revoked: Vec<_> = self.oracle.revoked.iter().copied().collect();
        if revoked.is_empty() {
            return Ok(());
        }
        let device = self.random.pick(&revoked);
        for space in self.authority.spaces {
            let held = self.observe(|world| world.relay.reader().map(|reader| reader.quarantined(space)));
            let Some(Ok(held)) = held else { return Ok(()) };
            let mut held: Vec<_> = held.into_iter().filter(|batch| batch.device == device).collect();
            held.sort_by_key(|batch| (batch.incarnation, batch.lane, batch.seq));
            if held.is_empty() {
                continue;
            }
            let ends: std::collections::BTreeMap<(Incarnation, Lane), _> =
                held.iter().map(|batch| ((batch.incarnation, batch.lane), batch)).collect();
            let made = if is_adopted {
                let cut = ends.iter().map(|((incarnation, lane), end)| Cut {
                    incarnation: *incarnation,
                    lane: *lane,
                    seq: end.seq,
                    batch: end.id,
                });
                adopt(device, cut.collect())
            } else {
                let discarded = ends.iter().map(|((incarnation, lane), end)| Discarded {
                    incarnation: *incarnation,
                    lane: *lane,
                    seq: end.seq,
                });
                discard(device, discarded.collect())
            };
            self.decided(space, device, &held.iter().map(|batch| batch.id).collect::<Vec<_>>(), is_adopted);
            self.authority.sign(&mut self.random, space, &made.expect("a sound statement"));
        }
        self.bring()
    }

    fn decided(
        &mut self,
        space: SpaceId,
        device: barid_core::id::DeviceId,
        batches: &[barid_core::id::BatchId],
        is_adopted: bool,
    ) {
        for batch in batches {
            if is_adopted {
                self.coverage.count("late batches adopted");
                // An unaware phone has written two at one place: which of them stands is the fork's matter.
                if !self.oracle.unaware.contains(&device) {
                    self.oracle.adopted.insert((space, *batch), device);
                }
            } else {
                self.coverage.count("late batches discarded");
                self.oracle.discarded.insert((space, device));
                // It may have been acknowledged, before a revoke came that cuts before it.
                for promised in [
                    &mut self.oracle.quarantined,
                    &mut self.oracle.acknowledged,
                    &mut self.oracle.acknowledged_here,
                ] {
                    promised.remove(&(space, *batch));
                }
            }
        }
    }

    /// A record is to be gone, everywhere and for good.
    fn erase(&mut self) -> Result<(), Violation> {
        let known: Vec<_> = self.oracle.recorded.keys().copied().collect();
        if known.is_empty() {
            return Ok(());
        }
        let (space, kind, id) = self.random.pick(&known);
        let made = erase(kind, id).expect("a sound statement");
        self.authority.sign(&mut self.random, space, &[made]);
        self.oracle.erase((space, kind, id));
        self.coverage.count("records erased");
        self.bring()
    }
}
