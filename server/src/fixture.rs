//! For tests: a real data directory, and phones that fill it through the real log.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use barid_core::clock::{Clock, Timestamp};
use barid_core::control::admit_device;
use barid_core::id::{DeviceId, OrganisationId, RecordId, SpaceId};
use barid_core::identity::Identity;
use barid_core::model::{Fields, Gap, Position, TrackChunk, Value};
use barid_core::position::Cursor;
use barid_core::store::{Store, StoreConfig};

use crate::admin::init::{Init, init};
use crate::admin::organisation::{self, Names};
use crate::config::Flags;
use crate::data_dir::DataDir;
use crate::keys;
use crate::log::reader::LogReader;
use crate::log::writer::{LogWriter, OwnStatements};
use crate::log::{Outcome, verify};
use crate::materialiser::report::Report;
use crate::materialiser::worker::Worker;

/// 2026-11-24T20:00:00Z.
pub(crate) const NOON: i64 = 1_795_550_400_000;

/// A data directory with two organisations.
pub(crate) struct World {
    _dir: tempfile::TempDir,
    pub(crate) data: DataDir,
    pub(crate) log: LogWriter,
    pub(crate) joint: SpaceId,
    pub(crate) organisations: [OrganisationId; 2],
}

/// A phone that is enrolled.
pub(crate) struct Phone {
    pub(crate) store: Store,
    pub(crate) device: DeviceId,
    space: SpaceId,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        let made = init(
            &root,
            Init {
                name_ar: "المركز المشترك".to_owned(),
                name_en: "Joint centre".to_owned(),
                organisation: names("حرس الحدود", "Border guard", "border_guard"),
                account: "amal".to_owned(),
                password: None,
                hosts: Vec::new(),
                settings: Flags::default(),
            },
        )
        .unwrap();
        let data = DataDir::new(&root);
        let second = organisation::add(&data, names("الهلال الأحمر", "Red Crescent", "humanitarian")).unwrap();
        let log = LogWriter::open(&data.log_db(), clock_at(NOON)).unwrap();
        let organisations = [made.organisation, second];
        Self { _dir: dir, data, log, joint: made.joint_space, organisations }
    }

    pub(crate) fn root(&self) -> &Path {
        self.data.root()
    }

    /// Enrols a phone of the first or second organisation.
    pub(crate) fn phone(&mut self, organisation: usize, label: &str) -> Phone {
        self.phone_of(Arc::new(Identity::generate()), organisation, label)
    }

    /// The same for a phone whose key the test keeps.
    pub(crate) fn phone_of(&mut self, identity: Arc<Identity>, organisation: usize, label: &str) -> Phone {
        let device = identity.device();
        let organisation = self.organisations[organisation];
        let signer = Arc::new(keys::load(&self.data.organisation_key(organisation)).unwrap());
        let statement = admit_device(device, 1, organisation, label, "patrol").unwrap();
        let space = self.joint;
        self.log
            .transact(|append| {
                append.statements(&OwnStatements { space, signer, statements: vec![statement] })
            })
            .unwrap();
        let config =
            StoreConfig { identity: Some(identity), clock: clock_at(NOON), ..StoreConfig::in_memory() };
        let store = Store::open(config).unwrap();
        store.join_space(space).unwrap();
        let phone = Phone { store, device, space };
        self.give(&phone);
        phone
    }

    /// Everything that the phone has not sent goes into the log. Returns how many batches it was.
    pub(crate) fn take(&mut self, phone: &Phone) -> usize {
        let (batches, is_exhausted) = phone.store.outgoing(&[], &[], usize::MAX).unwrap();
        assert!(is_exhausted);
        let ids: Vec<_> = batches.iter().map(|batch| batch.id()).collect();
        for batch in batches {
            let verified = verify(batch).unwrap();
            let outcome = self.log.transact(|append| append.batch(&verified)).unwrap();
            assert!(matches!(outcome, Outcome::Appended { .. }), "{outcome:?}");
        }
        phone.store.acknowledge(&ids).unwrap();
        ids.len()
    }

    /// Everything in the log that the phone does not hold goes to it.
    pub(crate) fn give(&self, phone: &Phone) {
        let reader = LogReader::open(&self.data.log_db()).unwrap();
        let after = phone.store.cursor(phone.space).unwrap().map_or(0, |cursor| cursor.offset);
        let excluding = Some((phone.device, phone.store.incarnation()));
        let page = reader.read_after(phone.space, after, usize::MAX, excluding).unwrap();
        let Some((offset, digest)) = page.reached else { return };
        let batches: Vec<_> = page.batches.into_iter().map(|logged| (logged.offset, logged.batch)).collect();
        phone.store.ingest(phone.space, &batches, Some(Cursor { log: reader.id(), offset, digest })).unwrap();
    }

    /// Does some work on the log.
    pub(crate) fn worker(&self) -> Worker {
        Worker::open(&self.data, "test", Duration::from_secs(60)).unwrap()
    }

    /// Brings the views up to the log; returns what the worker reported.
    pub(crate) fn materialise(&self) -> Vec<Report> {
        let mut reports = Vec::new();
        let mut worker = self.worker();
        while worker.catch_up(&mut reports).unwrap() {}
        let lines = reports.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
    }
}

impl Phone {
    pub(crate) fn put(&self, kind: &str, fields: Fields) -> RecordId {
        self.store.write(|group| group.put(self.space, kind, None, fields)).unwrap()
    }

    pub(crate) fn patch(&self, kind: &str, id: RecordId, field: &str, value: impl Into<Value>) {
        let puts = [(field.to_owned(), Some(value.into()))].into();
        self.store.write(|group| group.patch(self.space, kind, id, puts)).unwrap();
    }

    pub(crate) fn withdraw(&self, kind: &str, id: RecordId) {
        self.store.write(|group| group.withdraw(self.space, kind, id)).unwrap();
    }

    pub(crate) fn track(&self, patrol: RecordId, seconds: &[i64], gaps: &[(i64, i64)]) {
        let time = |second: i64| Timestamp::from_millis(NOON + second * 1000);
        let chunk = TrackChunk {
            id: RecordId::new(time(seconds[0]), crate::secret::random()),
            patrol,
            positions: seconds
                .iter()
                .map(|second| Position {
                    time: time(*second),
                    lat_e7: 249_000_000 + *second as i32 * 1000,
                    lon_e7: 101_000_000,
                    accuracy_m: 8,
                })
                .collect(),
            gaps: gaps
                .iter()
                .map(|(from, to)| Gap { from: time(*from), to: time(*to), reason: "no_fix".to_owned() })
                .collect(),
        };
        self.store.write(|group| group.add_track(self.space, chunk)).unwrap();
    }
}

fn names(ar: &str, en: &str, kind: &str) -> Names {
    Names { ar: ar.to_owned(), en: en.to_owned(), kind: kind.to_owned() }
}

/// A clock that stands still.
pub(crate) fn clock_at(millis: i64) -> Clock {
    Arc::new(move || Timestamp::from_millis(millis))
}

/// Fields from pairs.
pub(crate) fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Fields {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An event of this type and title, so many minutes after [`NOON`].
pub(crate) fn event(type_: &str, title: &str, minute: i64) -> Fields {
    fields([
        ("time", (NOON + minute * 60_000).into()),
        ("lat", (24.9 + minute as f64 / 100.0).into()),
        ("lon", 10.2.into()),
        ("accuracy_m", 12.into()),
        ("how", "gps".into()),
        ("event_type", type_.into()),
        ("title", title.into()),
        ("operational_state", "new".into()),
        ("review_state", "submitted".into()),
        ("priority", 100.into()),
    ])
}
