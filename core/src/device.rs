//! A device, whole: its store, its key, the relay it is enrolled with.
//!
//! This is what an app opens. Recording needs none of the rest: a device that was never enrolled,
//! or that has had no network for a month, records as any other does.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::client::{Client, ClientConfig, EnrolError, RelayAddress, enrol};
use crate::clock::Clock;
use crate::enrolment::EnrolmentCode;
use crate::id::{DeviceId, OrganisationId, SpaceId};
use crate::identity::Identity;
use crate::model::value::{Value, fields_from_cbor, fields_to_cbor};
use crate::model::{Fields, Kinds};
use crate::store::{OpenError, Store, StoreConfig, StoreError};

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

/// An opened device.
pub struct Device {
    store: Store,
    identity: Arc<Identity>,
    clock: Clock,
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
            ..StoreConfig::in_memory()
        })?;
        Ok(Self { store, identity, clock: config.clock })
    }

    /// Its records.
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
        };
        Client::start(self.store.clone(), config, self.clock.clone()).map_err(SyncStartError::Thread)
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
