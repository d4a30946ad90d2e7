//! A device, whole: its store, its key, the relay it is enrolled with.
//!
//! This is what an app opens. Recording needs none of the rest: a device that was never enrolled,
//! or that has had no network for a month, records as any other does.

mod lock;
mod wipe;

use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::bundle::{
    self, BundleError, BundleRequest, BundleScope, ExportError, ExportReport, ImportError, ImportReport,
    write_file,
};
use crate::client::{Client, ClientConfig, EnrolError, Meeting, RelayAddress, enrol};
use crate::clock::{Clock, Timestamp};
use crate::enrolment::EnrolmentCode;
use crate::exchange::{Cancel, ExchangeError, exchange};
use crate::id::{DeviceId, OrganisationId, SpaceId};
use crate::identity::Identity;
use crate::model::value::{Value, fields_from_cbor, fields_to_cbor};
use crate::model::{Fields, Kinds};
use crate::pairing::{Invitation, PairingCode};
use crate::protocol::{PeerReport, PeerRole};
use crate::store::{DatabaseKey, OpenError, Store, StoreConfig, StoreError};

pub use lock::{LockState, Locked};
pub use wipe::{Unsent, WipeError, WipeFailed, WipeMode, WipeReport};

use lock::Lock;

/// The setting under which the store keeps the enrolment.
const ENROLMENT_SETTING: &str = "enrolment";

/// What a device is opened with.
pub struct DeviceConfig {
    /// The database file; `None` keeps everything in memory.
    pub path: Option<PathBuf>,
    /// The device's secret, kept by the app in the platform's key store.
    pub seed: Zeroizing<[u8; 32]>,
    /// The kinds of records that the app knows.
    pub kinds: Kinds,
    /// Where `now` comes from.
    pub clock: Clock,
    /// What the database is encrypted with, as [`StoreConfig::key`] says.
    pub key: Option<DatabaseKey>,
}

impl fmt::Debug for DeviceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceConfig").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Where a device belongs, once it is enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Where the relay is.
    pub address: RelayAddress,
    /// The relay's key.
    pub relay: DeviceId,
    /// The device's organisation.
    pub organisation: OrganisationId,
    /// The spaces it reads and writes; the first is where its records go unless the app says otherwise.
    pub spaces: Vec<SpaceId>,
}

/// There is no relay to sync with.
#[derive(Debug, thiserror::Error)]
pub enum SyncStartError {
    /// The device has not been enrolled.
    #[error("starting the sync: the device is not enrolled")]
    NotEnrolled,
    /// The store could not be read.
    #[error("starting the sync: the device's database failed")]
    Store(#[from] StoreError),
    /// The sync thread could not be started.
    #[error("starting the sync: no thread for it")]
    Thread(#[source] std::io::Error),
}

/// Whom a bundle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleRecipient {
    /// The relay that this device is enrolled with.
    Relay,
    /// The organisation of this device, as one of its spaces names it.
    Organisation,
    /// Another device.
    Device(DeviceId),
}

/// A bundle is not made.
#[derive(Debug, thiserror::Error)]
pub enum BundleExportError {
    /// There is no relay or organisation that it could be for.
    #[error("making a bundle: the device is not enrolled")]
    NotEnrolled,
    /// It could not be made.
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// An opened device.
pub struct Device {
    store: Store,
    identity: Arc<Identity>,
    clock: Clock,
    lock: Arc<Lock>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Device {
    /// Opens the device's database, or makes it.
    pub fn open(config: DeviceConfig) -> Result<Self, OpenError> {
        let identity = Arc::new(Identity::from_seed(*config.seed));
        let store = Store::open(StoreConfig {
            path: config.path,
            identity: Some(identity.clone()),
            kinds: config.kinds,
            clock: config.clock.clone(),
            key: config.key,
            ..StoreConfig::in_memory()
        })?;
        let unreadable = |source| OpenError::Unreadable { source: Box::new(source) };
        let lock = Lock::open(store.clone(), config.clock.clone(), lock::steady()).map_err(unreadable)?;
        Ok(Self { store, identity, clock: config.clock, lock: Arc::new(lock) })
    }

    /// With a lease, in milliseconds: for how long the device shows what it holds without having met its
    /// relay. To be called before anything else.
    pub fn with_lease(mut self, lease_ms: Option<u64>) -> Result<Self, StoreError> {
        // Nobody else has it yet.
        if let Some(lock) = Arc::get_mut(&mut self.lock) {
            lock.set_lease(lease_ms)?;
        }
        Ok(self)
    }

    /// Whether the device shows what it holds.
    pub fn lock_state(&self) -> LockState {
        self.lock.state()
    }

    /// Locks it: it records, and shows nothing, until it is unlocked, whenever the program starts.
    pub fn lock(&self) -> Result<(), StoreError> {
        self.lock.set_by_app(true)
    }

    /// Unlocks what [`lock`](Self::lock) locked. Where a lease has ended, only the relay unlocks.
    pub fn unlock(&self) -> Result<LockState, StoreError> {
        self.lock.set_by_app(false)?;
        Ok(self.lock.state())
    }

    /// Its records, for whoever shows them.
    pub fn shown(&self) -> Result<&Store, Locked> {
        match self.lock.state() {
            LockState::Unlocked { .. } => Ok(&self.store),
            LockState::LockedByApp | LockState::LeaseEnded => Err(Locked),
        }
    }

    /// When everything was last exchanged with the relay, if it ever was.
    pub fn last_met(&self) -> Option<Timestamp> {
        self.lock.met()
    }

    /// Its records, for whoever records, syncs and counts. What is shown is read with
    /// [`shown`](Self::shown).
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its public key.
    pub fn id(&self) -> DeviceId {
        self.identity.device()
    }

    /// Enrols with the relay that made the code; needs the network, and blocks until it is done.
    pub fn enrol(&self, code: &EnrolmentCode, label: &str) -> Result<Enrolment, EnrolError> {
        let enrolment = enrol(code, &self.identity, label, &self.clock)?;
        for space in &enrolment.spaces {
            self.store.join_space(*space).map_err(EnrolError::Store)?;
        }
        self.save(&enrolment).map_err(EnrolError::Store)?;
        Ok(enrolment)
    }

    /// The same relay is at another address now. Its key and its certificate's pin stay: an address
    /// is only where to knock. Does nothing on a device that is not enrolled.
    pub fn move_relay(&self, url: &str) -> Result<(), StoreError> {
        let Some(mut enrolment) = self.enrolment()? else { return Ok(()) };
        enrolment.address.url = url.to_owned();
        self.save(&enrolment)
    }

    fn save(&self, enrolment: &Enrolment) -> Result<(), StoreError> {
        self.store.save_setting(ENROLMENT_SETTING, &fields_to_cbor(&to_fields(enrolment)))
    }

    /// Where the device belongs, if it is enrolled.
    pub fn enrolment(&self) -> Result<Option<Enrolment>, StoreError> {
        let Some(bytes) = self.store.setting(ENROLMENT_SETTING)? else { return Ok(None) };
        let read = fields_from_cbor(&bytes).ok().and_then(|fields| from_fields(&fields));
        read.map(Some).ok_or(StoreError::Unreadable("an enrolment"))
    }

    /// Syncs with the relay of the enrolment until the client is dropped.
    pub fn sync(&self) -> Result<Client, SyncStartError> {
        let enrolment = self.enrolment()?.ok_or(SyncStartError::NotEnrolled)?;
        let config = ClientConfig {
            address: enrolment.address,
            relay: enrolment.relay,
            identity: self.identity.clone(),
            last_success: self.lock.met(),
            meeting: Meeting::new({
                let lock = Arc::clone(&self.lock);
                move || lock.meet()
            }),
        };
        Client::start(self.store.clone(), config, self.clock.clone()).map_err(SyncStartError::Thread)
    }

    /// Makes a code to show another device, which lets it exchange with this one, once.
    ///
    /// # Panics
    /// When the system has no randomness: a code made then could be guessed.
    pub fn invite(&self) -> Arc<Invitation> {
        let mut secret = Zeroizing::new([0; 16]);
        getrandom::fill(&mut *secret).expect("a code needs the system's randomness");
        Arc::new(Invitation::new(self.id(), *secret, (self.clock)()))
    }

    /// Exchanges with the device at the other end of a stream, which has read this one's code; blocks
    /// until both have what the other had. Needs no network and no relay.
    pub fn exchange(
        &self,
        invitation: &Arc<Invitation>,
        streams: (impl Read + Send + 'static, impl Write + Send + 'static),
        cancel: &Cancel,
        on_progress: impl FnMut(&PeerReport),
    ) -> Result<PeerReport, ExchangeError> {
        self.exchange_as(PeerRole::Inviting(Arc::clone(invitation)), streams, cancel, on_progress)
    }

    /// The same for the device that has read the other's code.
    pub fn exchange_with(
        &self,
        code: &PairingCode,
        streams: (impl Read + Send + 'static, impl Write + Send + 'static),
        cancel: &Cancel,
        on_progress: impl FnMut(&PeerReport),
    ) -> Result<PeerReport, ExchangeError> {
        self.exchange_as(PeerRole::Joining(code.clone()), streams, cancel, on_progress)
    }

    fn exchange_as(
        &self,
        role: PeerRole,
        streams: (impl Read + Send + 'static, impl Write + Send + 'static),
        cancel: &Cancel,
        on_progress: impl FnMut(&PeerReport),
    ) -> Result<PeerReport, ExchangeError> {
        exchange(&self.store, self.identity.clone(), role, &self.clock, streams, cancel, on_progress)
    }

    /// Writes a bundle of some spaces, or of all if none is named, into a new file. It is there when it
    /// is whole and on the disk, and not before. `on_progress` is called with the bytes written and in
    /// all.
    pub fn export_bundle(
        &self,
        path: &Path,
        recipient: BundleRecipient,
        spaces: &[SpaceId],
        scope: &BundleScope,
        cancel: &Cancel,
        on_progress: impl FnMut(u64, u64),
    ) -> Result<ExportReport, BundleExportError> {
        let (recipient, is_relay) = match recipient {
            BundleRecipient::Device(device) => (device, false),
            BundleRecipient::Relay => {
                let enrolment = self.enrolment().map_err(ExportError::Store)?;
                (enrolment.ok_or(BundleExportError::NotEnrolled)?.relay, true)
            }
            BundleRecipient::Organisation => (self.organisation_key()?, true),
        };
        let all = self.store.spaces().map_err(ExportError::Store)?;
        let is_chosen = |space: &SpaceId| spaces.is_empty() || spaces.contains(space);
        let chosen: Vec<_> = all.into_iter().filter(is_chosen).collect();
        let now = (self.clock)();
        let request = BundleRequest { recipient, is_relay, spaces: &chosen, scope, now };
        Ok(write_file(path, |file| bundle::export(&self.store, request, file, cancel, on_progress))?)
    }

    fn organisation_key(&self) -> Result<DeviceId, BundleExportError> {
        for space in self.store.spaces().map_err(ExportError::Store)? {
            let membership = self.store.membership(space).map_err(ExportError::Store)?;
            if let Some(key) = membership.organisation_key(self.id()) {
                return Ok(key);
            }
        }
        Err(BundleExportError::NotEnrolled)
    }

    /// Takes in every whole batch of a bundle for this device; the report says what is missing.
    /// `on_progress` is called with the batches read and in all.
    pub fn import_bundle(
        &self,
        path: &Path,
        cancel: &Cancel,
        on_progress: impl FnMut(u64, u64),
    ) -> Result<ImportReport, ImportError> {
        let file = File::open(path).map_err(|source| BundleError::Read { offset: 0, source })?;
        bundle::import(&self.store, &self.identity, BufReader::new(file), cancel, on_progress)
    }
}

fn to_fields(enrolment: &Enrolment) -> Fields {
    let pin = enrolment.address.certificate_pin.map_or(Value::Null, |pin| Value::Bytes(pin.to_vec()));
    let spaces = enrolment.spaces.iter().map(|space| Value::Bytes(space.as_bytes().to_vec())).collect();
    Fields::from([
        ("url".to_owned(), enrolment.address.url.clone().into()),
        ("pin".to_owned(), pin),
        ("relay".to_owned(), Value::Bytes(enrolment.relay.as_bytes().to_vec())),
        ("organisation".to_owned(), Value::Bytes(enrolment.organisation.as_bytes().to_vec())),
        ("spaces".to_owned(), Value::List(spaces)),
    ])
}

fn from_fields(fields: &Fields) -> Option<Enrolment> {
    let bytes = |value: &Value| match value {
        Value::Bytes(bytes) => <[u8; 32]>::try_from(bytes.as_slice()).ok(),
        _ => None,
    };
    let certificate_pin = match fields.get("pin")? {
        Value::Null => None,
        pin => Some(bytes(pin)?),
    };
    let Value::List(spaces) = fields.get("spaces")? else { return None };
    Some(Enrolment {
        address: RelayAddress { url: fields.get("url")?.as_text()?.to_owned(), certificate_pin },
        relay: DeviceId::from_bytes(bytes(fields.get("relay")?)?),
        organisation: OrganisationId::from_bytes(bytes(fields.get("organisation")?)?),
        spaces: spaces.iter().map(|space| bytes(space).map(SpaceId::from_bytes)).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_enrolment_reads_back_as_it_was_saved() {
        let enrolment = Enrolment {
            address: RelayAddress { url: "wss://relay:7600".to_owned(), certificate_pin: Some([1; 32]) },
            relay: DeviceId::from_bytes([2; 32]),
            organisation: OrganisationId::from_bytes([3; 32]),
            spaces: vec![SpaceId::from_bytes([4; 32]), SpaceId::from_bytes([5; 32])],
        };
        let bytes = fields_to_cbor(&to_fields(&enrolment));
        assert_eq!(from_fields(&fields_from_cbor(&bytes).unwrap()), Some(enrolment));
    }
}
