//! Opening a store, enrolling it, and bringing a damaged one back.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use barid_core::batch::Lane;
use barid_core::clock::system_clock;
use barid_core::device::{Device, DeviceConfig};
use barid_core::enrolment::EnrolmentCode;
use barid_core::identity::Identity;
use barid_core::model::{Field, FieldType, Kind, Kinds};
use barid_core::store::{DatabaseKey, Store, StoreConfig as CoreConfig};

use crate::attachments::Attachments;
use crate::bundle::Bundles;
use crate::error::BaridError;
use crate::exchange::Peers;
use crate::opened::Opened;
use crate::records::Records;
use crate::sync::Sync;
use crate::tracks::Tracks;

/// What a store is opened with.
#[derive(uniffi::Record)]
pub struct StoreConfig {
    /// The database file, made if it is not there.
    pub path: String,
    /// The device's secret, 32 bytes from [`generate_seed`], kept in the platform's key store.
    pub seed: Vec<u8>,
    /// The app's own kinds of records; patrols, events and alerts are known without.
    #[uniffi(default = [])]
    pub kinds: Vec<KindDeclaration>,
    /// For how long, in milliseconds, the store shows what it holds without having met its relay.
    #[uniffi(default = None)]
    pub lease_ms: Option<u64>,
    /// What the database is encrypted with, 32 bytes kept in the platform's key store; nothing if it is
    /// not. Needs a library built with the feature `sqlcipher`.
    #[uniffi(default = None)]
    pub database_key: Option<Vec<u8>>,
}

/// An app's own kind of record.
#[derive(Debug, Clone, uniffi::Record)]
pub struct KindDeclaration {
    /// Its name.
    pub name: String,
    /// Fields captured once: who, when, where.
    pub captured: Vec<String>,
    /// Fields that people edit.
    pub editable: Vec<String>,
    /// The field with the time, in milliseconds since the epoch.
    #[uniffi(default = None)]
    pub time: Option<String>,
    /// The field with the latitude in degrees.
    #[uniffi(default = None)]
    pub latitude: Option<String>,
    /// The field with the longitude in degrees.
    #[uniffi(default = None)]
    pub longitude: Option<String>,
    /// The field with the state.
    #[uniffi(default = None)]
    pub state: Option<String>,
    /// The fields that are searched; none given means every text.
    #[uniffi(default = None)]
    pub searched: Option<Vec<String>>,
}

/// Where a device belongs.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Enrolment {
    /// The relay's address.
    pub url: String,
    /// The organisation's id.
    pub organisation: String,
    /// The spaces, the default one first.
    pub spaces: Vec<String>,
}

/// Shows no secret.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreConfig").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A device's records, on the device.
#[derive(Debug, uniffi::Object)]
pub struct FieldStore {
    opened: Arc<Opened>,
    id: String,
    records: Arc<Records>,
    sync: Arc<Sync>,
}

impl FieldStore {
    pub(crate) fn opened(&self) -> &Opened {
        &self.opened
    }

    pub(crate) fn sync_object(&self) -> &Sync {
        &self.sync
    }
}

#[uniffi::export]
impl FieldStore {
    /// Opens the database, or makes it. Needs no network, now or ever.
    #[uniffi::constructor]
    pub fn open(config: StoreConfig) -> Result<Arc<Self>, BaridError> {
        let device = Device::open(DeviceConfig {
            path: Some(PathBuf::from(&config.path)),
            seed: seed(config.seed)?.into(),
            kinds: kinds(config.kinds),
            clock: system_clock(),
            key: database_key(config.database_key)?,
        })?;
        let device = device.with_lease(config.lease_ms)?;
        let id = device.id().to_string();
        let opened = Arc::new(Opened::new(device));
        let records = Arc::new(Records::new(opened.clone()));
        let sync = Arc::new(Sync::new(opened.clone()));
        Ok(Arc::new(Self { opened, id, records, sync }))
    }

    /// Enrols the device with a relay. Needs the network once.
    pub fn enrol(&self, code: String, label: String) -> Result<Enrolment, BaridError> {
        let code: EnrolmentCode =
            code.parse().map_err(|error| BaridError::CodeRejected { why: format!("{error}") })?;
        Ok(self.opened.device()?.enrol(&code, &label)?.into())
    }

    /// Where the device belongs, if it is enrolled.
    pub fn enrolment(&self) -> Result<Option<Enrolment>, BaridError> {
        Ok(self.opened.device()?.enrolment()?.map(Enrolment::from))
    }

    /// The device's public id.
    pub fn device_id(&self) -> String {
        self.id.clone()
    }

    /// Recording and reading.
    pub fn records(&self) -> Arc<Records> {
        self.records.clone()
    }

    /// Syncing with the relay.
    pub fn sync(&self) -> Arc<Sync> {
        self.sync.clone()
    }

    /// Tracks of patrols.
    pub fn tracks(&self) -> Arc<Tracks> {
        Arc::new(Tracks::new(self.opened.clone()))
    }

    /// Pictures of records.
    pub fn attachments(&self) -> Arc<Attachments> {
        Arc::new(Attachments::new(self.opened.clone()))
    }

    /// Exchanging with other devices.
    pub fn peers(&self) -> Arc<Peers> {
        Arc::new(Peers::new(self.opened.clone()))
    }

    /// Records in a file.
    pub fn bundles(&self) -> Arc<Bundles> {
        Arc::new(Bundles::new(self.opened.clone()))
    }

    /// Ends the sync and every long call, and lets go of the database. Calls say `Closed` from then on.
    pub fn shut_down(&self) {
        self.sync.halt();
        // Calls that are under way end first, so that the file can be opened again at once.
        let device = self.opened.take();
        self.opened.close();
        drop(device);
    }
}

impl From<barid_core::device::Enrolment> for Enrolment {
    fn from(enrolment: barid_core::device::Enrolment) -> Self {
        Self {
            url: enrolment.address.url,
            organisation: enrolment.organisation.to_string(),
            spaces: enrolment.spaces.iter().map(ToString::to_string).collect(),
        }
    }
}

/// What came back from a damaged database.
#[derive(Debug, Clone, uniffi::Record)]
pub struct RecoverReport {
    /// Intact batches.
    pub batches: u64,
    /// Changes that no relay had, recorded again.
    pub changes: u64,
    /// Intact changes that the new store refuses.
    pub failed: u64,
}

/// Makes a new device secret.
#[uniffi::export]
pub fn generate_seed() -> Vec<u8> {
    Identity::generate().seed().to_vec()
}

/// Brings every intact batch and pending change of a damaged database file into a new store.
#[uniffi::export]
pub fn recover(damaged: String, into: StoreConfig) -> Result<RecoverReport, BaridError> {
    let config = CoreConfig {
        path: Some(PathBuf::from(&into.path)),
        identity: Some(Arc::new(Identity::from_seed(seed(into.seed)?))),
        kinds: kinds(into.kinds),
        key: database_key(into.database_key)?,
        ..CoreConfig::in_memory()
    };
    let report = Store::recover(damaged.as_ref(), config)?;
    Ok(RecoverReport {
        batches: report.batches,
        changes: report.pending_reauthored + report.entries_reauthored,
        failed: report.failed,
    })
}

fn seed(bytes: Vec<u8>) -> Result<[u8; 32], BaridError> {
    bytes.try_into().map_err(|_| BaridError::invalid("the seed is not 32 bytes"))
}

fn database_key(bytes: Option<Vec<u8>>) -> Result<Option<DatabaseKey>, BaridError> {
    let wrong_len = |_| BaridError::invalid("the database's key is not 32 bytes");
    bytes.map(|bytes| bytes.try_into().map(DatabaseKey::new).map_err(wrong_len)).transpose()
}

fn kinds(declared: Vec<KindDeclaration>) -> Kinds {
    let mut kinds = Kinds::built_in();
    for kind in declared {
        // What a field holds matters to those who draw forms; these come with the app.
        let field = |capture: bool| {
            move |name: &String| Field { name: name.clone(), holds: FieldType::Text, capture }
        };
        let fields =
            kind.captured.iter().map(field(true)).chain(kind.editable.iter().map(field(false))).collect();
        kinds.declare(Kind {
            name: kind.name,
            lane: Lane::Normal,
            fields,
            time: kind.time,
            place: kind.latitude.zip(kind.longitude),
            state: kind.state,
            searched: kind.searched,
        });
    }
    kinds
}
