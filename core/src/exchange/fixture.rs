//! A space with an administrator, and devices with real stores in memory, for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::batch::{Header, SealedBatch};
use crate::clock::{Clock, Timestamp};
use crate::control::{
    ControlChain, Cut, SpaceKind, SpaceOrganisation, admit_device, adopt, found_organisation, found_space,
    revoke_device,
};
use crate::id::{DeviceId, Incarnation, OrganisationId, RecordId, SpaceId};
use crate::identity::Identity;
use crate::model::{Fields, Kinds};
use crate::store::{Store, StoreConfig};

pub(crate) struct World {
    pub(crate) space: SpaceId,
    organisation: OrganisationId,
    chain: ControlChain<'static>,
    /// Every control batch.
    pub(crate) control: Vec<SealedBatch>,
    time: Arc<AtomicI64>,
}

/// A device with a store of its own.
pub(crate) struct Party {
    pub(crate) store: Store,
    pub(crate) identity: Arc<Identity>,
    pub(crate) space: SpaceId,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::named(3)
    }

    /// The number makes another space of it.
    pub(crate) fn named(n: u8) -> Self {
        let administrator: &'static Identity = Box::leak(Box::new(Identity::from_seed([0xaa; 32])));
        let key = administrator.device();
        let (organisation, founded) = found_organisation("agency", "جهة", "Agency", key, [n; 16]).unwrap();
        let named = [SpaceOrganisation { id: organisation, key }];
        let (space, genesis) =
            found_space(SpaceKind::Joint, "مشترك", "Joint", &[key], &named, [n; 16]).unwrap();
        let chain = ControlChain::new(administrator, Incarnation::from_bytes([0xcc; 8]), space);
        let time = Arc::new(AtomicI64::new(1_790_000_000_000));
        let mut world = Self { space, organisation, chain, control: Vec::new(), time };
        world.say(&[genesis, founded]);
        world
    }

    pub(crate) fn say(&mut self, statements: &[Vec<u8>]) {
        let now = Timestamp::from_millis(self.time.fetch_add(1000, Ordering::Relaxed));
        self.control.push(self.chain.seal(statements, now, [5; 16]).unwrap());
    }

    pub(crate) fn admit(&mut self, seed: u8) {
        let device = Identity::from_seed([seed; 32]).device();
        let statement = admit_device(device, 1, self.organisation, "phone", "patrol").unwrap();
        self.say(&[statement]);
    }

    /// Revokes a device, with nothing of its chains before the cut.
    pub(crate) fn revoke(&mut self, seed: u8) {
        let device = Identity::from_seed([seed; 32]).device();
        let statements = revoke_device(device, "lost", Vec::new()).unwrap();
        self.say(&statements);
    }

    /// Lets a revoked device's chain stand up to a batch.
    pub(crate) fn adopt(&mut self, late: &SealedBatch) {
        let Header { device, incarnation, lane, seq, .. } = *late.header();
        let cut = Cut { incarnation, lane, seq, batch: late.id() };
        self.say(&adopt(device, vec![cut]).unwrap());
    }

    /// A clock that stands still: the stores' goes on with every look, and would time an exchange out.
    pub(crate) fn clock(&self) -> Clock {
        Arc::new(|| Timestamp::from_millis(1_790_000_000_000))
    }

    /// A device that has joined the space and holds its first control batches.
    pub(crate) fn party(&self, seed: u8, control: usize) -> Party {
        let identity = Arc::new(Identity::from_seed([seed; 32]));
        let counter = AtomicU64::new(u64::from(seed) << 32);
        let time = Arc::clone(&self.time);
        let store = Store::open(StoreConfig {
            identity: Some(Arc::clone(&identity)),
            kinds: Kinds::built_in(),
            clock: Arc::new(move || Timestamp::from_millis(time.fetch_add(1000, Ordering::Relaxed))),
            entropy: Arc::new(move |bytes| {
                let count = counter.fetch_add(1, Ordering::Relaxed);
                blake3::Hasher::new().update(&count.to_be_bytes()).finalize_xof().fill(bytes);
            }),
            ..StoreConfig::in_memory()
        })
        .unwrap();
        store.join_space(self.space).unwrap();
        store.ingest_carried(self.space, &self.control[..control]).unwrap();
        Party { store, identity, space: self.space }
    }

    /// Two admitted devices that hold all control batches.
    pub(crate) fn pair() -> (Self, Party, Party) {
        let mut world = Self::new();
        world.admit(1);
        world.admit(2);
        let (one, two) = (world.party(1, 3), world.party(2, 3));
        (world, one, two)
    }
}

impl Party {
    pub(crate) fn id(&self) -> DeviceId {
        self.identity.device()
    }

    pub(crate) fn record(&self, title: &str) -> RecordId {
        let fields = Fields::from([("title".to_owned(), title.into())]);
        self.store.write(|group| group.put(self.space, "event", None, fields)).unwrap()
    }

    /// Many records, each of which ends in a write of its own.
    pub(crate) fn records(&self, count: usize) {
        for number in 0..count {
            // Long and unlike, so that batches are many and long.
            let noise = blake3::hash(&[&self.id().as_bytes()[..], &number.to_be_bytes()].concat());
            let mut text = [0; 600];
            blake3::Hasher::new().update(noise.as_bytes()).finalize_xof().fill(&mut text);
            self.record(&crate::id::to_hex(&text));
        }
    }

    pub(crate) fn holds(&self, record: RecordId) -> bool {
        self.store.get(self.space, "event", record).unwrap().is_some()
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        self.store.digest(self.space).unwrap()
    }

    /// Everything that stands here, by id.
    pub(crate) fn batches(&self) -> Vec<crate::id::BatchId> {
        let (all, exhausted) = self.store.batches_above(self.space, &[], false, usize::MAX).unwrap();
        assert!(exhausted);
        let mut ids: Vec<_> = all.iter().map(SealedBatch::id).collect();
        ids.sort_unstable();
        ids
    }
}
