//! The keys in the data directory, and which of them may state what.

use std::fs;
use std::sync::Arc;

use barid_core::control::Membership;
use barid_core::id::{DeviceId, SpaceId};
use barid_core::identity::Identity;

use super::AdminError;
use crate::data_dir::DataDir;
use crate::keys::{self, KeyError};
use crate::log::LogState;

/// Every key that this relay may sign with: the organisations' first, for devices are theirs, then the
/// relay's own.
#[derive(Debug)]
pub(super) struct Signers(Vec<Arc<Identity>>);

impl Signers {
    pub(super) fn load(data: &DataDir) -> Result<Self, AdminError> {
        if !data.is_initialised() {
            return Err(AdminError::NotInitialised(data.root().display().to_string()));
        }
        let folder = data.organisations();
        let unreachable = |source| KeyError::File { path: folder.clone(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).map_err(unreachable)? {
            files.push(entry.map_err(unreachable)?.path());
        }
        files.retain(|path| path.extension().is_some_and(|ending| ending == "key"));
        files.sort();
        files.push(data.relay_key());
        let keys = files.iter().map(|path| keys::load(path).map(Arc::new));
        Ok(Self(keys.collect::<Result<_, _>>()?))
    }

    /// Every key, the relay's own first.
    pub(super) fn own_first(&self) -> impl Iterator<Item = &Identity> {
        self.0.iter().rev().map(|key| &**key)
    }

    /// A key that may revoke a device in a space, and adopt or discard what it wrote.
    pub(super) fn on_device(&self, membership: &Membership, device: DeviceId) -> Option<Arc<Identity>> {
        self.0.iter().find(|key| membership.may_decide_on(device, key.device())).cloned()
    }

    /// A key that may erase in a space.
    pub(super) fn on_records(&self, membership: &Membership) -> Option<Arc<Identity>> {
        self.0.iter().find(|key| membership.may_control(key.device())).cloned()
    }
}

/// The space that is meant by a name in either language, an id, or the beginning of one.
pub(super) fn find_space(state: &LogState, text: &str) -> Result<SpaceId, AdminError> {
    let wanted = text.trim().to_lowercase();
    let names = |membership: &Membership| {
        membership.space().map(|space| (space.name_ar.clone(), space.name_en.clone()))
    };
    let is_meant = |id: &SpaceId, membership: &Membership| {
        let is_called = names(membership)
            .is_some_and(|(ar, en)| ar.to_lowercase() == wanted || en.to_lowercase() == wanted);
        is_called || (wanted.len() >= 8 && id.to_string().starts_with(&wanted))
    };
    let mut meant = state.spaces.iter().filter(|(id, space)| is_meant(id, &space.membership));
    match (meant.next(), meant.next()) {
        (Some((id, _)), None) => Ok(*id),
        (Some(_), Some(_)) => Err(AdminError::AmbiguousSpace(text.to_owned())),
        (None, _) => {
            let all: Vec<_> = state.spaces.values().filter_map(|space| names(&space.membership)).collect();
            let all: Vec<_> = all.into_iter().map(|(_, en)| format!("`{en}`")).collect();
            Err(AdminError::UnknownSpace(text.to_owned(), all.join(", ")))
        }
    }
}

/// What a space is called, in English; its id if that is not known.
pub(super) fn space_name(state: &LogState, space: SpaceId) -> String {
    let known = state.spaces.get(&space).and_then(|known| known.membership.space());
    known.map_or_else(|| space.to_string(), |space| space.name_en.clone())
}

/// Who runs the command, as the operating system calls them.
pub(super) fn operator() -> String {
    let names = ["SUDO_USER", "USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok());
    let mut name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned());
    name.retain(|c| !c.is_control());
    name.chars().take(64).collect()
}
