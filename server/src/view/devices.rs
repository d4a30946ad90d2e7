//! Devices: who they are by the control records, and what they said of themselves on their last link.

use std::collections::BTreeMap;

use barid_core::clock::Timestamp;
use barid_core::id::{DeviceId, SpaceId};
use serde::Serialize;
use utoipa::ToSchema;

use super::names::KnownDevice;
use super::shape::{OrganisationName, rfc3339};
use super::{View, ViewError};
use crate::reports::{Report, Reports};

/// Who is on a link now, and how far each has read the log of each space.
pub type Connected = BTreeMap<DeviceId, BTreeMap<SpaceId, u64>>;

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Device {
    /// Its public key.
    pub id: String,
    /// What its organisation calls it.
    pub label: String,
    /// Its organisation.
    #[schema(required)]
    pub organisation: Option<OrganisationName>,
    /// `active`, `revoked`, or what its organisation made of it since.
    #[schema(example = "active")]
    pub state: String,
    /// When this relay logged its enrolment.
    #[schema(required, format = DateTime)]
    pub enrolled_at: Option<String>,
    /// When it was last on a link.
    #[schema(required, format = DateTime)]
    pub last_seen: Option<String>,
    /// Whether it is on a link now.
    pub connected: bool,
    /// Records that it said it had not sent, when it last said anything.
    #[schema(required)]
    pub unsent_reported: Option<u64>,
    /// Batches of this relay's log that it has not fetched yet.
    pub behind: u64,
    /// When this relay logged the last of its batches.
    #[schema(required, format = DateTime)]
    pub last_received_at: Option<String>,
}

/// All devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Devices {
    /// By id.
    pub items: Vec<Device>,
}

impl View {
    /// Every device that is or was enrolled.
    pub fn devices(
        &self,
        reports: &Reports,
        connected: &Connected,
        now: Timestamp,
    ) -> Result<Devices, ViewError> {
        let reports = reports.all()?;
        let reports: BTreeMap<DeviceId, Report> = reports.into_iter().map(|r| (r.device, r)).collect();
        let heads: BTreeMap<SpaceId, u64> = self.log.spaces()?.into_iter().collect();
        let logged = self.log.last_received()?;
        let mut items = Vec::with_capacity(self.names.devices.len());
        for (id, device) in &self.names.devices {
            let report = reports.get(id);
            let mut cursors: BTreeMap<SpaceId, u64> =
                report.map(|report| report.cursors.iter().copied().collect()).unwrap_or_default();
            // What it has read on its present link is reported only when that ends.
            cursors.extend(connected.get(id).into_iter().flatten());
            let behind = device
                .spaces
                .iter()
                .map(|(space, _)| {
                    let head = heads.get(space).copied().unwrap_or(0);
                    head.saturating_sub(cursors.get(space).copied().unwrap_or(0))
                })
                .sum();
            let is_connected = connected.contains_key(id);
            let seen_at = if is_connected { Some(now) } else { report.map(|report| report.seen_at) };
            items.push(Device {
                id: id.to_string(),
                label: device.label.clone(),
                organisation: self.names.organisation(device.organisation),
                state: device.state.clone(),
                enrolled_at: self.enrolled_at(device)?.map(rfc3339),
                last_seen: seen_at.map(rfc3339),
                connected: is_connected,
                unsent_reported: report.and_then(|report| report.unsent),
                behind,
                last_received_at: logged.get(id).copied().map(rfc3339),
            });
        }
        Ok(Devices { items })
    }

    /// When this relay logged the first statement that admits a device.
    fn enrolled_at(&self, device: &KnownDevice) -> Result<Option<Timestamp>, ViewError> {
        let mut first = None;
        for (space, batch) in &device.spaces {
            let Some(batch) = batch else { continue };
            let Some(offset) = self.store.offset_of(*space, *batch)? else { continue };
            let at = self.log.received_at(*space, offset)?;
            first = first.into_iter().chain(at).min();
        }
        Ok(first)
    }
}
