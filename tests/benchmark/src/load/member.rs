//! Devices without a store: what they write is made and sealed before it is measured.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use barid_core::batch::{BatchKind, ChangeEntry, Entry, Lane, SealSpec, SealedBatch, seal};
use barid_core::clock::system_clock;
use barid_core::device::{Device, DeviceConfig};
use barid_core::document::create;
use barid_core::id::{BatchId, ChainId, DeviceId, Incarnation, OrganisationId, RecordId, SpaceId};
use barid_core::identity::Identity;
use barid_core::model::{Fields, Kinds};
use barid_server::admin::{enrol, organisation};
use barid_server::config::Config;
use barid_server::data_dir::DataDir;

use super::Failure;
use crate::observation;

/// Enrolments under way at the same time.
const ENROLMENTS: usize = 8;

/// An enrolled device.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) identity: Arc<Identity>,
    pub(super) relay: DeviceId,
    pub(super) url: String,
    spaces: Vec<SpaceId>,
}

/// Everybody, organisation by organisation.
#[derive(Debug, Default)]
pub(super) struct Members {
    all: Vec<Member>,
}

/// Makes organisations until there are so many.
pub(super) fn organisations(data: &Path, count: usize) -> Result<Vec<OrganisationId>, Failure> {
    let data = DataDir::new(data);
    for number in organisation::list(&data)?.len()..count {
        let names = organisation::Names {
            ar: format!("الجهة {number}"),
            en: format!("Organisation {number}"),
            kind: "agency".to_owned(),
        };
        organisation::add(&data, names)?;
    }
    Ok(organisation::list(&data)?.into_iter().map(|listed| listed.id).collect())
}

impl Members {
    /// Enrols so many devices, by turns of the organisations.
    pub(super) fn enrol(
        data: &Path,
        port: u16,
        organisations: &[OrganisationId],
        count: usize,
    ) -> Result<Self, Failure> {
        let (next, enrolled) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        std::thread::scope(|scope| {
            let work = || -> Result<(), Failure> {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return Ok(());
                    }
                    let member = Member::enrol(data, port, organisations[number % organisations.len()])?;
                    enrolled.lock().unwrap_or_else(PoisonError::into_inner).insert(number, member);
                }
            };
            let threads: Vec<_> = (0..ENROLMENTS).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "enrolling panicked")?)
        })?;
        let enrolled = enrolled.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Self { all: enrolled.into_values().collect() })
    }

    /// The space that all of them share.
    pub(super) fn joint(&self) -> Result<SpaceId, Failure> {
        let [first, second, ..] = &self.all[..] else { return Err("there are not two members".into()) };
        let shared = first.spaces.iter().find(|space| second.spaces.contains(space));
        shared.copied().ok_or_else(|| "the members share no space".into())
    }

    /// So many members, of as many organisations as there are.
    pub(super) fn spread(&self, count: usize) -> Vec<Member> {
        self.all.iter().take(count).cloned().collect()
    }
}

impl Member {
    fn enrol(data: &Path, port: u16, organisation: OrganisationId) -> Result<Self, Failure> {
        let url = format!("ws://127.0.0.1:{port}");
        let code = enrol::enrol(&Config::defaults(data), Some(&url), organisation, "member")?;
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let config = DeviceConfig {
            path: None,
            seed: seed.into(),
            kinds: Kinds::built_in(),
            clock: system_clock(),
            key: None,
        };
        let enrolment = Device::open(config)?.enrol(&code, "member")?;
        let identity = Arc::new(Identity::from_seed(seed));
        Ok(Self { identity, relay: enrolment.relay, url, spaces: enrolment.spaces })
    }

    /// The space of the member's organisation alone.
    pub(super) fn own_space(&self, joint: SpaceId) -> Result<SpaceId, Failure> {
        let own = self.spaces.iter().find(|space| **space != joint);
        own.copied().ok_or_else(|| "the member has no space of its own organisation".into())
    }
}

/// A chain that a member writes: a new one each time, as by a new database file.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    identity: Arc<Identity>,
    pub(super) incarnation: Incarnation,
    pub(super) space: SpaceId,
    seq: u64,
    prev: BatchId,
}

impl Chain {
    pub(super) fn new(member: &Member, space: SpaceId) -> Result<Self, Failure> {
        let mut incarnation = [0; Incarnation::LEN];
        getrandom::fill(&mut incarnation)?;
        Ok(Self {
            identity: member.identity.clone(),
            incarnation: Incarnation::from_bytes(incarnation),
            space,
            seq: 0,
            prev: BatchId::from_bytes([0; 32]),
        })
    }

    /// Seals so many new records into the next batch. They are small, so that five hundred fit.
    pub(super) fn seal(&mut self, records: usize) -> Result<SealedBatch, Failure> {
        let actor =
            ChainId::derive(self.identity.device(), self.incarnation, self.space, Lane::Normal).actor();
        let now = system_clock()();
        let mut entries = Vec::with_capacity(records);
        for number in 0..records {
            let mut id = [0; 16];
            getrandom::fill(&mut id)?;
            let fields = Fields::from([
                ("status".to_owned(), "new".into()),
                ("title".to_owned(), format!("report {number} of batch {}", self.seq).into()),
                ("observed_at".to_owned(), now.as_millis().into()),
            ]);
            entries.push(Entry::Change(ChangeEntry {
                record: RecordId::from_bytes(id),
                kind: observation::NAME.to_owned(),
                continues: number + 1 < records,
                change: create(actor, now, &observation::kind(), &fields)?,
            }));
        }
        let mut seed = [0; 16];
        getrandom::fill(&mut seed)?;
        let spec = SealSpec {
            key: &self.identity,
            incarnation: self.incarnation,
            space: self.space,
            lane: Lane::Normal,
            seq: self.seq + 1,
            prev: self.prev,
            control_head: BatchId::from_bytes([0; 32]),
            kind: BatchKind::Entries,
            claimed_time: now,
            seed,
        };
        let batch = seal(spec, &entries)?;
        self.seq += 1;
        self.prev = batch.id();
        Ok(batch)
    }
}
