//! Where each device was last.

use std::collections::BTreeMap;

use barid_core::id::{DeviceId, SpaceId};
use barid_core::store::LatestPosition;
use serde::Serialize;
use utoipa::ToSchema;

use super::patrols::LastPosition;
use super::shape::OrganisationName;
use super::{View, ViewError};

/// The newest position of one device.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DevicePosition {
    /// The device.
    pub device: String,
    /// What its organisation calls the device.
    pub device_label: String,
    /// Its organisation.
    #[schema(required)]
    pub organisation: Option<OrganisationName>,
    /// The patrol it was on.
    #[schema(required, format = "uuid")]
    pub patrol: Option<String>,
    /// Where and when.
    #[serde(flatten)]
    pub position: LastPosition,
}

/// The newest position of every device that sent any.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DevicePositions {
    /// In the order of their ids.
    pub items: Vec<DevicePosition>,
}

impl View {
    /// The newest position of every device, in one space or in all.
    pub fn positions(&self, space: Option<SpaceId>) -> Result<DevicePositions, ViewError> {
        let spaces = match space {
            Some(space) => vec![space],
            None => self.store.spaces()?,
        };
        let mut newest = BTreeMap::<DeviceId, LatestPosition>::new();
        for space in spaces {
            for latest in self.store.latest_positions(space)? {
                let known = newest.get(&latest.device);
                if known.is_none_or(|known| known.position.time < latest.position.time) {
                    newest.insert(latest.device, latest);
                }
            }
        }
        let items = newest
            .into_iter()
            .map(|(device, latest)| DevicePosition {
                device: device.to_string(),
                device_label: self.names.label(device),
                organisation: self.names.organisation_of(device),
                patrol: Some(latest.patrol.to_string()),
                position: LastPosition::of(&latest.position),
            })
            .collect();
        Ok(DevicePositions { items })
    }
}
