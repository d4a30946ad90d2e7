//! `barid device`: which devices there are, and taking one out.

use std::collections::BTreeMap;

use barid_core::clock::{Timestamp, system_clock};
use barid_core::control::{Cut, DeviceState, revoke_device, revoke_device_and_ask_wipe};
use barid_core::id::{DeviceId, OrganisationId, SpaceId};
use barid_core::limits::REVOKE_CHAINS_MAX;
use barid_core::model::value::{Fields, Value};
use barid_core::position::OwnChain;

use super::AdminError;
use super::signers::{Signers, operator, space_name};
use crate::data_dir::DataDir;
use crate::log::reader::LogReader;
use crate::log::trail::Decision;
use crate::log::writer::{LogWriter, OwnStatements};
use crate::log::{LogError, LogState};

/// One device, as its organisation declared it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub id: DeviceId,
    /// What it is called.
    pub label: String,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// The organisation's name in English; its id if no statement names it.
    pub organisation_name: String,
    /// `active`, `revoked`, or what its organisation made of it since.
    pub state: String,
    /// The spaces that have admitted it.
    pub spaces: Vec<SpaceId>,
    /// When this relay logged the last of its batches.
    pub last_received: Option<Timestamp>,
    /// Its batches in quarantine, those not counted whose bytes were discarded.
    pub quarantined: usize,
}

/// What a revoke did in one space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Where.
    pub space: SpaceId,
    /// The space's name in English.
    pub space_name: String,
    /// What was done there.
    pub outcome: RevokeOutcome,
}

/// What became of a revoke in one space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeOutcome {
    /// It is revoked: what this relay held stands, so many batches of so many chains.
    Done {
        /// Chains that stand up to the cut.
        chains: usize,
        /// Batches up to the cut, of all of them.
        batches: u64,
        /// Chains beyond what a revoke can name: nothing of them stands.
        unnamed: usize,
    },
    /// It was revoked there before; nothing was changed.
    Already,
    /// The key that may revoke it there is not in this data directory.
    NoSigner,
}

/// Every device of every space, by organisation and label.
pub fn list(data: &DataDir) -> Result<Vec<Listed>, AdminError> {
    if !data.is_initialised() {
        return Err(AdminError::NotInitialised(data.root().display().to_string()));
    }
    let state = LogWriter::open(&data.log_db(), system_clock())?.state();
    let reader = LogReader::open(&data.log_db())?;
    let mut devices = declared(&state);
    let last_received = reader.last_received()?;
    for space in state.spaces.keys() {
        for batch in reader.quarantined(*space)?.iter().filter(|batch| batch.batch.is_some()) {
            if let Some(device) = devices.get_mut(&batch.device) {
                device.quarantined += 1;
            }
        }
    }
    let mut listed: Vec<_> = devices
        .into_values()
        .map(|device| Listed { last_received: last_received.get(&device.id).copied(), ..device })
        .collect();
    listed
        .sort_by(|a, b| (&a.organisation_name, &a.label, a.id).cmp(&(&b.organisation_name, &b.label, b.id)));
    Ok(listed)
}

/// The devices that the spaces' control records name.
fn declared(state: &LogState) -> BTreeMap<DeviceId, Listed> {
    let mut devices: BTreeMap<DeviceId, Listed> = BTreeMap::new();
    for (space, known) in &state.spaces {
        for device in known.membership.devices() {
            let listed = devices.entry(device.device).or_insert_with(|| Listed {
                id: device.device,
                label: device.label.clone(),
                organisation: device.organisation,
                organisation_name: device.organisation.to_string(),
                state: match &device.state {
                    DeviceState::Active => "active".to_owned(),
                    DeviceState::Other(word) => word.clone(),
                },
                spaces: Vec::new(),
                last_received: None,
                quarantined: 0,
            });
            listed.spaces.push(*space);
            if let Some(organisation) = known.membership.organisation(device.organisation) {
                listed.organisation_name.clone_from(&organisation.name_en);
            }
            if known.membership.is_revoked(device.device) {
                listed.state = "revoked".to_owned();
            }
        }
    }
    devices
}

/// The device that is meant by a label, an id, or the beginning of one.
pub fn find(data: &DataDir, text: &str) -> Result<Listed, AdminError> {
    let wanted = text.trim().to_lowercase();
    let devices = list(data)?;
    let by_label: Vec<_> = devices.iter().filter(|device| device.label.to_lowercase() == wanted).collect();
    let meant = if by_label.is_empty() && wanted.len() >= 6 {
        devices.iter().filter(|device| device.id.to_string().starts_with(&wanted)).collect()
    } else {
        by_label
    };
    match meant[..] {
        [one] => Ok(one.clone()),
        [] => Err(AdminError::UnknownDevice(text.to_owned())),
        _ => Err(AdminError::AmbiguousDevice(text.to_owned())),
    }
}

/// Ends the trust in a device in every space that it belongs to: what this relay holds of it in this
/// moment stands for ever, along the branch that came first where there are several; whatever else it
/// wrote or writes goes into quarantine.
///
/// With `wipe` the device is asked to delete what it holds; one that was revoked before is then asked now.
pub fn revoke(data: &DataDir, device: &Listed, reason: &str, wipe: bool) -> Result<Vec<Revoked>, AdminError> {
    let signers = Signers::load(data)?;
    let mut log = LogWriter::open(&data.log_db(), system_clock())?;
    let state = log.state();
    let is_key = |space| state.spaces.get(space).is_some_and(|known| known.membership.may_control(device.id));
    if device.spaces.iter().any(is_key) {
        return Err(AdminError::NotRevocable(device.label.clone()));
    }
    // Its bounds, before the log is locked: a reason that is too long is the caller's mistake.
    revoke_device(device.id, reason, Vec::new())?;
    let outcomes = log.transact(|append| {
        let mut outcomes = Vec::new();
        for space in &device.spaces {
            let Some(membership) = append.membership(*space)? else { continue };
            if membership.is_revoked(device.id) && (!wipe || membership.is_wipe_asked(device.id)) {
                outcomes.push((*space, RevokeOutcome::Already));
                continue;
            }
            let Some(signer) = signers.on_device(&membership, device.id) else {
                outcomes.push((*space, RevokeOutcome::NoSigner));
                continue;
            };
            // Read in the transaction that appends the revoke: no batch comes between the two.
            let heights = append.first_heights(*space, device.id)?;
            let named: Vec<Cut> = heights.iter().take(REVOKE_CHAINS_MAX).map(cut).collect();
            let outcome = RevokeOutcome::Done {
                chains: named.len(),
                batches: named.iter().map(|cut| cut.seq).sum(),
                unnamed: heights.len() - named.len(),
            };
            let author = if wipe { revoke_device_and_ask_wipe } else { revoke_device };
            let statements = author(device.id, reason, named).map_err(LogError::OwnStatement)?;
            let batch = append.statements(&OwnStatements { space: *space, signer, statements })?;
            append.note(&Decision {
                action: "revoke",
                by: operator(),
                details: Fields::from([
                    ("device".to_owned(), Value::Bytes(device.id.as_bytes().to_vec())),
                    ("space".to_owned(), Value::Bytes(space.as_bytes().to_vec())),
                    ("statement".to_owned(), Value::Bytes(batch.as_bytes().to_vec())),
                ]),
            })?;
            outcomes.push((*space, outcome));
        }
        Ok(outcomes)
    })?;
    let named = |(space, outcome)| Revoked { space, space_name: space_name(&state, space), outcome };
    Ok(outcomes.into_iter().map(named).collect())
}

fn cut(chain: &OwnChain) -> Cut {
    let OwnChain { incarnation, lane, seq, batch } = *chain;
    Cut { incarnation, lane, seq, batch }
}
