//! A few numbers.

use barid_core::model::{alert, event, patrol};
use barid_core::store::Query;
use serde::Serialize;
use utoipa::ToSchema;

use super::devices::Connected;
use super::{View, ViewError};

/// States of an alert in which somebody still needs something.
const OPEN: [&str; 3] = ["raised", "acknowledged", "responding"];

/// Numbers of this moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Stats {
    /// Events, without withdrawn ones.
    pub events: u64,
    /// Alerts that are raised, acknowledged or responded to.
    pub alerts_open: u64,
    /// Patrols under way.
    pub patrols_active: u64,
    /// Devices that are or were enrolled.
    pub devices: u64,
    /// Those on a link now.
    pub devices_connected: u64,
    /// Records with fields that people edited at the same time, with different results.
    pub conflicts: u64,
    /// Batches in the log, over all spaces.
    pub log_head: u64,
    /// Those of them that are in the views.
    pub materialised_head: u64,
    /// Batches that this version could not take in; another one tries again.
    pub set_aside: u64,
}

impl View {
    /// How much there is, and how far the views are behind the log.
    pub fn stats(&self, connected: &Connected) -> Result<Stats, ViewError> {
        let count = |kind: &str, state: Option<&str>| {
            self.store.count(&Query {
                kind: Some(kind.to_owned()),
                state: state.map(str::to_owned),
                ..Query::default()
            })
        };
        let mut alerts_open = 0;
        for state in OPEN {
            alerts_open += count(alert::NAME, Some(state))?;
        }
        let conflicts = self.store.count(&Query { conflicts_only: true, ..Query::default() })?;
        let positions = self.store.positions()?;
        Ok(Stats {
            events: count(event::NAME, None)?,
            alerts_open,
            patrols_active: count(patrol::NAME, Some("active"))?,
            devices: self.names.devices.len() as u64,
            devices_connected: connected.len() as u64,
            conflicts,
            log_head: self.log.spaces()?.iter().map(|(_, head)| head).sum(),
            materialised_head: positions.iter().filter_map(|p| p.cursor).map(|cursor| cursor.offset).sum(),
            set_aside: self.set_aside()?,
        })
    }
}
