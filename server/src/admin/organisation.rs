//! Organisations: who shares the joint space.

use std::sync::Arc;

use barid_core::clock::system_clock;
use barid_core::control::{
    OrganisationStatement, SpaceKind, SpaceOrganisation, SpaceStatement, Statement, StatementError,
    found_organisation, found_space,
};
use barid_core::id::{OrganisationId, SpaceId};
use barid_core::identity::Identity;

use super::AdminError;
use crate::data_dir::DataDir;
use crate::keys;
use crate::log::writer::{Append, LogWriter, OwnStatements};
use crate::log::{LogError, LogState};
use crate::secret::random;

/// An organisation's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// In Arabic.
    pub ar: String,
    /// In English.
    pub en: String,
    /// A word: `border_guard`, `police`, `health` and so on.
    pub kind: String,
}

/// An organisation that was just founded, and its key, not yet in a log.
#[derive(Debug)]
pub struct Founded {
    /// Its id.
    pub id: OrganisationId,
    /// Its secret root key.
    pub key: Arc<Identity>,
    names: Names,
    statement: Vec<u8>,
}

/// One row of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: OrganisationId,
    /// Its names.
    pub names: Names,
    /// Devices that take part.
    pub devices: usize,
    /// Whether its key is in this data directory.
    pub has_key: bool,
}

impl Founded {
    /// Makes an organisation with a new key.
    pub fn new(names: Names) -> Result<Self, StatementError> {
        let key = Arc::new(Identity::generate());
        let (id, statement) = found_organisation(&names.kind, &names.ar, &names.en, key.device(), random())?;
        Ok(Self { id, key, names, statement })
    }

    /// How a space names it.
    pub fn in_space(&self) -> SpaceOrganisation {
        SpaceOrganisation { id: self.id, key: self.key.device() }
    }

    /// Says in a space who it is; the space must name it already.
    pub fn introduce(&self, append: &mut Append<'_>, space: SpaceId) -> Result<(), LogError> {
        let statements = vec![self.statement.clone()];
        append.statements(&OwnStatements { space, signer: Arc::clone(&self.key), statements })?;
        Ok(())
    }

    /// Founds its own space.
    pub fn found_own_space(&self, append: &mut Append<'_>) -> Result<SpaceId, LogError> {
        let Names { ar, en, .. } = &self.names;
        let administrators = [self.key.device()];
        let (space, genesis) =
            found_space(SpaceKind::Organisation, ar, en, &administrators, &[self.in_space()], random())
                .map_err(LogError::OwnStatement)?;
        append.found(space)?;
        let statements = vec![genesis, self.statement.clone()];
        append.statements(&OwnStatements { space, signer: Arc::clone(&self.key), statements })?;
        Ok(space)
    }
}

/// Adds an organisation to the relay: its key, its own space, and its place in the joint space.
pub fn add(data: &DataDir, names: Names) -> Result<OrganisationId, AdminError> {
    let administrator = Arc::new(load_relay_key(data)?);
    let founded = Founded::new(names)?;
    let mut log = LogWriter::open(&data.log_db(), system_clock())?;
    let joint = log.state().joint_space.ok_or(AdminError::NoJointSpace)?;
    // The key first: an organisation in the log whose key was lost could never enrol anybody.
    let key_file = data.organisation_key(founded.id);
    keys::save(&key_file, &founded.key)?;
    let added = log.transact(|append| {
        founded.found_own_space(append)?;
        let membership = append.membership(joint)?;
        let space = membership.as_deref().and_then(|membership| membership.space()).cloned();
        let mut space: SpaceStatement = space.ok_or(LogError::Contradiction { offset: 0 })?;
        space.version += 1;
        space.nonce = None;
        space.organisations.push(founded.in_space());
        let statement = Statement::Space(space).to_bytes().map_err(LogError::OwnStatement)?;
        append.statements(&OwnStatements {
            space: joint,
            signer: Arc::clone(&administrator),
            statements: vec![statement],
        })?;
        founded.introduce(append, joint)
    });
    if added.is_err() {
        let _ = std::fs::remove_file(&key_file);
    }
    added?;
    Ok(founded.id)
}

/// Every organisation of the joint space.
pub fn list(data: &DataDir) -> Result<Vec<Listed>, AdminError> {
    if !data.is_initialised() {
        return Err(AdminError::NotInitialised(data.root().display().to_string()));
    }
    let state = LogWriter::open(&data.log_db(), system_clock())?.state();
    let membership = joint_membership(&state)?;
    let listed = membership.organisations().map(|organisation| {
        let OrganisationStatement { id, kind, name_ar, name_en, .. } = organisation;
        let devices =
            membership.devices().filter(|device| device.organisation == *id && device.is_active()).count();
        Listed {
            id: *id,
            names: Names { ar: name_ar.clone(), en: name_en.clone(), kind: kind.clone() },
            devices,
            has_key: data.organisation_key(*id).exists(),
        }
    });
    Ok(listed.collect())
}

/// The organisation that is meant by a name in either language, an id, or the beginning of one.
pub fn find(data: &DataDir, text: &str) -> Result<Listed, AdminError> {
    let wanted = text.trim().to_lowercase();
    let is_prefix = wanted.len() >= 8;
    let mut found = list(data)?.into_iter().filter(|listed| {
        listed.names.ar.to_lowercase() == wanted
            || listed.names.en.to_lowercase() == wanted
            || (is_prefix && listed.id.to_string().starts_with(&wanted))
    });
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(AdminError::UnknownOrganisation(text.to_owned())),
        (Some(_), Some(_)) => Err(AdminError::AmbiguousOrganisation(text.to_owned())),
    }
}

fn joint_membership(state: &LogState) -> Result<&barid_core::control::Membership, AdminError> {
    let joint = state.joint_space.and_then(|joint| state.spaces.get(&joint));
    joint.map(|joint| &*joint.membership).ok_or(AdminError::NoJointSpace)
}

fn load_relay_key(data: &DataDir) -> Result<Identity, AdminError> {
    if !data.is_initialised() {
        return Err(AdminError::NotInitialised(data.root().display().to_string()));
    }
    Ok(keys::load(&data.relay_key())?)
}
