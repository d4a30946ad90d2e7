//! Bundles on their way from node to node, on a stick or by mail: whole, torn or spoiled, once or twice,
//! soon or when nobody thinks of them any more.

use barid_core::batch::SealedBatch;
use barid_core::bundle::{
    BundleError, BundleItem, BundleReader, BundleRequest, BundleScope, ImportError, export, import,
};
use barid_core::exchange::Cancel;
use barid_core::id::DeviceId;
use barid_core::identity::Identity;
use barid_server::log::bundle::Imported;

use super::sister::Node;
use super::{Violation, World, checks};

/// Sticks that lie about; of more the oldest is lost.
const STICKS_MAX: usize = 8;

/// A bundle on its way.
#[derive(Debug, Clone)]
pub(super) struct Stick {
    to: Node,
    bytes: Vec<u8>,
}

impl World {
    /// A phone writes a bundle, or one that was written comes to whom it is for.
    pub(super) fn carry_stick(&mut self, number: usize) -> Result<(), Violation> {
        if self.sticks.is_empty() || self.random.one_in(3) {
            self.write_stick(number)?;
            // Most are carried over at once.
            if self.sticks.is_empty() || self.random.one_in(3) {
                return Ok(());
            }
        }
        let at = self.random.below(self.sticks.len());
        let mut stick = if self.random.one_in(3) { self.sticks[at].clone() } else { self.sticks.remove(at) };
        let place = self.random.below(stick.bytes.len());
        match self.random.below(6) {
            0 => {
                self.coverage.count("bundles torn");
                stick.bytes.truncate(place);
            }
            1 => {
                self.coverage.count("bundles spoiled");
                stick.bytes[place] ^= 1 << self.random.below(8);
            }
            _ => {}
        }
        self.comes_to(stick.to, &stick.bytes)
    }

    fn write_stick(&mut self, number: usize) -> Result<(), Violation> {
        if self.devices[number].store.is_none() {
            return Ok(());
        }
        let other = self.random.below(self.devices.len());
        let is_for_relay = other == number || self.random.one_in(3);
        let to = if is_for_relay { Node::Relay } else { Node::Device(other) };
        let scope = match self.random.one_in(2) {
            true => BundleScope::NotAtRelay,
            false => BundleScope::Everything,
        };
        let Some(bytes) = self.phone_writes(number, to, &scope)? else { return Ok(()) };
        self.sticks.push(Stick { to, bytes });
        if self.sticks.len() > STICKS_MAX {
            self.sticks.remove(0);
        }
        Ok(())
    }

    /// A phone writes a bundle, if it runs and its disk lets it.
    pub(super) fn phone_writes(
        &mut self,
        number: usize,
        to: Node,
        scope: &BundleScope,
    ) -> Result<Option<Vec<u8>>, Violation> {
        let Some(store) = self.devices[number].store.clone() else { return Ok(None) };
        let (device, mut bytes) = (&self.devices[number], Vec::new());
        device.disk.take_has_failed();
        let request = BundleRequest {
            recipient: self.key_of(to),
            is_relay: !matches!(to, Node::Device(_)),
            spaces: &device.spaces,
            scope,
            now: device.clock.now(),
        };
        let written = export(&store, request, &mut bytes, &Cancel::new(), |_, _| {});
        drop(store);
        if self.devices[number].is_dying() {
            self.coverage.count("devices killed while they wrote or read a bundle");
            self.kill_device(number);
            return Ok(None);
        }
        if let Err(error) = written {
            let is_excused = self.devices[number].disk.take_has_failed();
            return if is_excused {
                Ok(None)
            } else {
                Err(Violation::new(checks::ENGINE, format!("{error:?}")))
            };
        }
        self.coverage.count(checks::SENT);
        if !self.devices[number].disk.is_synced() {
            return Err(checks::sent_before_durable(number));
        }
        // What is in it has left the phone.
        let key = self.devices[number].identity.device();
        for batch in self.read_whole(to, &bytes).iter().filter(|batch| batch.header().device == key) {
            checks::one_writer(self, batch)?;
        }
        self.coverage.count("bundles written");
        Ok(Some(bytes))
    }

    pub(super) fn key_of(&self, node: Node) -> DeviceId {
        self.identity_of(node).device()
    }

    fn identity_of(&self, node: Node) -> &Identity {
        match (node, &self.sister) {
            (Node::Device(number), _) => &self.devices[number].identity,
            (Node::Sister, Some(sister)) => sister.relay.identity(),
            (Node::Relay | Node::Sister, _) => self.relay.identity(),
        }
    }

    /// The batches of a bundle.
    fn read_whole(&self, to: Node, bytes: &[u8]) -> Vec<SealedBatch> {
        let identity = self.identity_of(to);
        let mut batches = Vec::new();
        let mut read = || -> Result<(), BundleError> {
            let mut reader = BundleReader::open(bytes, identity)?;
            while let Some(item) = reader.next_item()? {
                if let BundleItem::Batch(batch) = item {
                    batches.push(batch);
                }
            }
            Ok(())
        };
        read().expect("it was just written");
        batches
    }

    pub(super) fn relay_reads(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        if !self.relay.is_up() {
            return Ok(());
        }
        self.relay.disk.take_has_failed();
        let taken = self.relay.take_bundle(bytes);
        if self.relay.disk.is_dead() {
            self.coverage.count("relay killed while it read or wrote");
            self.kill_relay();
            return Ok(());
        }
        let is_harmed = |taken: &Option<Imported>| taken.as_ref().is_none_or(|taken| taken.damage.is_some());
        let is_harmed = taken.as_ref().is_ok_and(is_harmed);
        self.or_failed(taken.map(drop), ())?;
        self.coverage.count("bundles read by the relay");
        self.coverage.add("bundles read up to where they were harmed", u64::from(is_harmed));
        self.tell_news()
    }

    pub(super) fn phone_reads(&mut self, number: usize, bytes: &[u8]) -> Result<(), Violation> {
        let Some(store) = self.devices[number].store.clone() else { return Ok(()) };
        let device = &self.devices[number];
        device.disk.take_has_failed();
        let read = import(&store, &device.identity, bytes, &Cancel::new(), |_, _| {});
        drop(store);
        if self.devices[number].is_dying() {
            self.coverage.count("devices killed while they wrote or read a bundle");
            self.kill_device(number);
            return Ok(());
        }
        match read {
            Ok(report) => {
                self.coverage.count("bundles read by a phone");
                self.coverage
                    .add("bundles read up to where they were harmed", u64::from(report.damage.is_some()));
                self.coverage.add("batches given from phone to phone", report.tally.taken);
                self.coverage.add("batches from a phone that wait", report.tally.waiting);
                self.coverage.add("batches from a phone that are in quarantine", report.tally.quarantined);
            }
            // Nothing of it can be read.
            Err(ImportError::Bundle(_)) => {
                self.coverage.count("bundles read up to where they were harmed");
            }
            Err(_) if self.devices[number].disk.take_has_failed() => {}
            Err(error) => return Err(Violation::new(checks::ENGINE, format!("{error:?}"))),
        }
        self.tell_of_change(number)
    }
}
