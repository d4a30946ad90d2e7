//! Who is who: the names of devices and organisations, as the control records of all spaces say.

use std::collections::BTreeMap;

use barid_core::clock::Timestamp;
use barid_core::control::{DeviceState, Membership};
use barid_core::id::{BatchId, DeviceId, OrganisationId, SpaceId};

use super::shape::{OrganisationName, Trace, rfc3339};

/// A device, as its organisation declared it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownDevice {
    pub(super) label: String,
    pub(super) organisation: OrganisationId,
    pub(super) state: String,
    /// The spaces that admitted it, and the batch that did.
    pub(super) spaces: Vec<(SpaceId, Option<BatchId>)>,
}

/// An organisation and its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownOrganisation {
    pub(super) name: OrganisationName,
    pub(super) kind: String,
}

/// A space and its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownSpace {
    pub(super) id: SpaceId,
    pub(super) kind: String,
    pub(super) name_ar: String,
    pub(super) name_en: String,
}

/// The names that control records give.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) devices: BTreeMap<DeviceId, KnownDevice>,
    pub(super) organisations: BTreeMap<OrganisationId, KnownOrganisation>,
    pub(super) spaces: Vec<KnownSpace>,
}

impl Names {
    /// Collects the names of several spaces; where they differ, the first space's are taken.
    pub(super) fn collect(memberships: &[(SpaceId, Membership)]) -> Self {
        let mut names = Self::default();
        for (id, membership) in memberships {
            names.add_space(*id, membership);
        }
        // By id: the order in which spaces and statements arrived must not change a colour.
        for (place, organisation) in names.organisations.values_mut().enumerate() {
            organisation.name.colour_index = u32::try_from(place).unwrap_or(u32::MAX);
        }
        names
    }

    fn add_space(&mut self, id: SpaceId, membership: &Membership) {
        let Some(space) = membership.space() else { return };
        self.spaces.push(KnownSpace {
            id,
            kind: space.kind.word().to_owned(),
            name_ar: space.name_ar.clone(),
            name_en: space.name_en.clone(),
        });
        for organisation in membership.organisations() {
            self.organisations.entry(organisation.id).or_insert_with(|| KnownOrganisation {
                name: OrganisationName {
                    id: organisation.id.to_string(),
                    name_ar: organisation.name_ar.clone(),
                    name_en: organisation.name_en.clone(),
                    colour_index: 0,
                },
                kind: organisation.kind.clone(),
            });
        }
        for device in membership.devices() {
            let known = self.devices.entry(device.device).or_insert_with(|| KnownDevice {
                label: device.label.clone(),
                organisation: device.organisation,
                state: match &device.state {
                    DeviceState::Active => "active".to_owned(),
                    DeviceState::Other(word) => word.clone(),
                },
                spaces: Vec::new(),
            });
            if membership.is_revoked(device.device) {
                known.state = "revoked".to_owned();
            }
            known.spaces.push((id, membership.admitted_by(device.device)));
        }
    }

    /// What a device is called; empty if it is not known here.
    pub(super) fn label(&self, device: DeviceId) -> String {
        self.devices.get(&device).map(|device| device.label.clone()).unwrap_or_default()
    }

    /// An organisation by its id.
    pub(super) fn organisation(&self, id: OrganisationId) -> Option<OrganisationName> {
        self.organisations.get(&id).map(|organisation| organisation.name.clone())
    }

    /// A device's organisation.
    pub(super) fn organisation_of(&self, device: DeviceId) -> Option<OrganisationName> {
        self.organisation(self.devices.get(&device)?.organisation)
    }

    /// Who did something, and when.
    pub(super) fn trace(&self, device: DeviceId, at: Timestamp) -> Trace {
        Trace { device: device.to_string(), device_label: self.label(device), at: rfc3339(at) }
    }
}
