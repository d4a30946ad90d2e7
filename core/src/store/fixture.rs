//! A space with an administrator and devices, and a log as a relay would keep it, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::{IngestError, IngestReport, Store, StoreConfig};
use crate::batch::SealedBatch;
use crate::clock::Timestamp;
use crate::control::{
    ControlChain, SpaceKind, SpaceOrganisation, admit_device, found_organisation, found_space,
};
use crate::id::{DeviceId, Incarnation, LogDigest, LogId, OrganisationId, RecordId, SpaceId};
use crate::identity::Identity;
use crate::model::{Fields, Gap, Position, TrackChunk, Value};
use crate::position::Cursor;

pub(super) const BUDGET: usize = 1 << 20;

/// A space, who administers it, and its log.
pub(super) struct World {
    pub(super) space: SpaceId,
    pub(super) organisations: [OrganisationId; 2],
    chain: ControlChain<'static>,
    pub(super) log: Vec<(u64, SealedBatch)>,
    log_id: LogId,
    time: Arc<AtomicI64>,
}

fn administrator() -> &'static Identity {
    Box::leak(Box::new(Identity::from_seed([0xaa; 32])))
}

impl World {
    /// A joint space of two organisations, both of one key, founded and logged.
    pub(super) fn new() -> Self {
        let administrator = administrator();
        let key = administrator.device();
        let organisation = |n: u8| found_organisation("agency", "جهة", "Agency", key, [n; 16]).unwrap();
        let founded = [organisation(1), organisation(2)];
        let organisations = founded.each_ref().map(|(id, _)| *id);
        let named = organisations.map(|id| SpaceOrganisation { id, key });
        let (space, genesis) =
            found_space(SpaceKind::Joint, "مشترك", "Joint", &[key], &named, [3; 16]).unwrap();
        let chain = ControlChain::new(administrator, Incarnation::from_bytes([0xcc; 8]), space);
        let time = Arc::new(AtomicI64::new(1_790_000_000_000));
        let log_id = LogId::from_bytes([9; 16]);
        let mut world = Self { space, organisations, chain, log: Vec::new(), log_id, time };
        world.control(&[genesis, founded[0].1.clone(), founded[1].1.clone()]);
        world
    }

    /// The same space and the same log, which then go their own way.
    pub(super) fn copy(&self) -> Self {
        let Self { space, organisations, log_id, .. } = *self;
        let (log, time) = (self.log.clone(), Arc::clone(&self.time));
        let chain = ControlChain::new(administrator(), Incarnation::from_bytes([0xcc; 8]), space);
        Self { space, organisations, chain, log, log_id, time }
    }

    /// Logs a control batch with these statements.
    pub(super) fn control(&mut self, statements: &[Vec<u8>]) {
        let batch = self.chain.seal(statements, self.now(), [5; 16]).unwrap();
        self.append(batch);
    }

    /// Admits a device to one of the organisations.
    pub(super) fn admit(&mut self, device: DeviceId, organisation: usize) {
        let organisation = self.organisations[organisation];
        self.control(&[admit_device(device, 1, organisation, "phone", "patrol").unwrap()]);
    }

    pub(super) fn append(&mut self, batch: SealedBatch) {
        self.log.push((self.log.len() as u64 + 1, batch));
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.time.fetch_add(1000, Ordering::Relaxed))
    }

    /// Settings with this world's clock and randomness that is the same in every run.
    pub(super) fn config(&self, seed: u8) -> StoreConfig {
        let time = Arc::clone(&self.time);
        let counter = AtomicU64::new(u64::from(seed) << 32);
        StoreConfig {
            identity: Some(Arc::new(Identity::from_seed([seed; 32]))),
            clock: Arc::new(move || Timestamp::from_millis(time.fetch_add(1000, Ordering::Relaxed))),
            entropy: Arc::new(move |bytes| {
                let count = counter.fetch_add(1, Ordering::Relaxed);
                blake3::Hasher::new().update(&count.to_be_bytes()).finalize_xof().fill(bytes);
            }),
            ..StoreConfig::in_memory()
        }
    }

    /// A device in memory that has joined the space, and is admitted to an organisation.
    pub(super) fn device(&mut self, seed: u8, organisation: usize) -> Store {
        let store = self.stranger(seed);
        self.admit(store.device().unwrap(), organisation);
        store
    }

    /// A device that nobody admitted.
    pub(super) fn stranger(&self, seed: u8) -> Store {
        let store = Store::open(self.config(seed)).unwrap();
        store.join_space(self.space).unwrap();
        store
    }

    /// A replica in memory that has joined the space.
    pub(super) fn replica(&self) -> Store {
        let store = Store::open(StoreConfig { identity: None, ..self.config(200) }).unwrap();
        store.join_space(self.space).unwrap();
        store
    }

    pub(super) fn cursor_at(&self, offset: u64) -> Cursor {
        let before = &self.log[..offset as usize];
        let digest = before.iter().fold(LogDigest::EMPTY, |log, (_, batch)| log.then(batch.id()));
        Cursor { log: self.log_id, offset, digest }
    }

    /// Sends everything that a device has to the log, and acknowledges it.
    pub(super) fn upload(&mut self, device: &Store) {
        loop {
            let (batches, exhausted) = device.outgoing(&[], &[], BUDGET).unwrap();
            let ids: Vec<_> = batches.iter().map(SealedBatch::id).collect();
            for batch in batches {
                if self.log.iter().all(|(_, logged)| logged.id() != batch.id()) {
                    self.append(batch);
                }
            }
            device.acknowledge(&ids).unwrap();
            if exhausted {
                return;
            }
        }
    }

    /// What the log has for a device: all but what it wrote itself, as the relay sends it.
    pub(super) fn news_for(&self, device: &Store) -> Vec<(u64, SealedBatch)> {
        let after = device.cursor(self.space).unwrap().map_or(0, |cursor| cursor.offset);
        let is_news = |(offset, batch): &&(u64, SealedBatch)| {
            let is_own = Some(batch.header().device) == device.device()
                && batch.header().incarnation == device.incarnation();
            *offset > after && !is_own
        };
        self.log.iter().filter(is_news).cloned().collect()
    }

    /// Brings everything that is new in the log to a device.
    pub(super) fn download(&self, device: &Store) -> IngestReport {
        self.try_download(device).unwrap()
    }

    pub(super) fn try_download(&self, device: &Store) -> Result<IngestReport, IngestError> {
        let cursor = self.cursor_at(self.log.len() as u64);
        device.ingest(self.space, &self.news_for(device), Some(cursor))
    }
}

pub(super) fn event(title: &str, lat: f64, lon: f64) -> Fields {
    Fields::from([
        ("title".to_owned(), title.into()),
        ("lat".to_owned(), lat.into()),
        ("lon".to_owned(), lon.into()),
        ("event_type".to_owned(), "people_in_distress".into()),
        ("operational_state".to_owned(), "new".into()),
        ("persons_total".to_owned(), 7i64.into()),
    ])
}

pub(super) fn sets(field: &str, value: impl Into<Value>) -> BTreeMap<String, Option<Value>> {
    BTreeMap::from([(field.to_owned(), Some(value.into()))])
}

/// A chunk of some positions from this second on, and a gap.
pub(super) fn chunk(id: u8, patrol: u8, from_s: i64, positions: usize) -> TrackChunk {
    let at = |s: i64| Timestamp::from_millis((from_s + s) * 1000);
    let position = |n: usize| Position {
        time: at(n as i64),
        lat_e7: 260_000_000 + n as i32,
        lon_e7: 140_000_000,
        accuracy_m: 5,
    };
    TrackChunk {
        id: RecordId::from_bytes([id; 16]),
        patrol: RecordId::from_bytes([patrol; 16]),
        positions: (0..positions).map(position).collect(),
        gaps: vec![Gap { from: at(1), to: at(2), reason: "no_fix".to_owned() }],
    }
}
