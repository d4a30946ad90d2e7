//! `barid init`: makes a relay in an empty directory.
//!
//! Everything is made in a directory within, and put in place at the end, the relay's key last. What
//! an interrupted attempt left behind is swept away by the next: without that key it served nobody.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use barid_core::clock::system_clock;
use barid_core::control::{SpaceKind, found_space};
use barid_core::id::{DeviceId, OrganisationId, SpaceId};
use barid_core::identity::Identity;

use super::AdminError;
use super::organisation::{Founded, Names};
use crate::accounts::{Accounts, Role};
use crate::config::{Config, Flags};
use crate::data_dir::{DataDir, sync_dir};
use crate::keys;
use crate::log::LogError;
use crate::log::writer::{LogWriter, OwnStatements};
use crate::relay_db::RelayDb;
use crate::secret::{Secret, random};
use crate::tls;

/// What a new relay shall be.
#[derive(Debug, Clone)]
pub struct Init {
    /// The joint space's, and so the relay's, name in Arabic.
    pub name_ar: String,
    /// The same in English.
    pub name_en: String,
    /// The first organisation.
    pub organisation: Names,
    /// The first account's name.
    pub account: String,
    /// Its password; a random one is made if none is given.
    pub password: Option<Secret>,
    /// Names and addresses, besides the listening one, under which phones and browsers reach the
    /// relay: for its certificate.
    pub hosts: Vec<String>,
    /// Settings to be written into the configuration file.
    pub settings: Flags,
}

/// What was made. The secrets are shown once and kept nowhere.
#[derive(Debug)]
pub struct Initialised {
    /// The relay's public key.
    pub relay: DeviceId,
    /// The joint space.
    pub joint_space: SpaceId,
    /// The first organisation.
    pub organisation: OrganisationId,
    /// The first account's password, if it was made here.
    pub password: Option<Secret>,
    /// Sets any password anew.
    pub recovery_key: Secret,
}

/// Makes a relay in this directory, which is created if there is none.
pub fn init(root: &Path, spec: Init) -> Result<Initialised, AdminError> {
    let data = DataDir::new(root);
    if data.is_initialised() {
        return Err(AdminError::AlreadyInitialised(root.display().to_string()));
    }
    DataDir::create_private_dir(root).map_err(AdminError::Directory)?;
    let unfinished = DataDir::new(root.join("unfinished"));
    remove_dir(unfinished.root()).map_err(AdminError::Directory)?;
    let made = make(&unfinished, spec);
    let placed = made.and_then(|made| {
        put_in_place(&unfinished, &data).map_err(AdminError::Directory)?;
        Ok(made)
    });
    let _ = remove_dir(unfinished.root());
    placed
}

fn make(data: &DataDir, spec: Init) -> Result<Initialised, AdminError> {
    DataDir::create_private_dir(data.root()).map_err(AdminError::Directory)?;
    DataDir::create_private_dir(&data.organisations()).map_err(AdminError::Directory)?;
    let relay = Arc::new(Identity::generate());
    let organisation = Founded::new(spec.organisation)?;
    keys::save(&data.organisation_key(organisation.id), &organisation.key)?;
    let joint_space = make_log(data, &relay, &organisation, &spec.name_ar, &spec.name_en)?;

    let accounts = Accounts::new(RelayDb::open(&data.relay_db())?, system_clock(), Duration::ZERO, u32::MAX);
    let made_password = spec.password.is_none().then(Secret::random_password);
    if let Some(password) = made_password.as_ref().or(spec.password.as_ref()) {
        accounts.create(&spec.account, Role::Administrator, password)?;
    }
    let recovery_key = Secret::random_recovery_key();
    accounts.set_recovery_key(&recovery_key)?;

    let common_name = format!("Barid relay {}", &relay.device().to_string()[..8]);
    let config = with_settings(&spec.settings);
    tls::create(&data.tls(), &common_name, &certificate_names(&config, spec.hosts))?;
    DataDir::write_private(&data.config_file(), settings_file(&spec.settings).as_bytes())
        .map_err(AdminError::Directory)?;
    keys::save(&data.relay_key(), &relay)?;
    Ok(Initialised {
        relay: relay.device(),
        joint_space,
        organisation: organisation.id,
        password: made_password,
        recovery_key,
    })
}

fn make_log(
    data: &DataDir,
    relay: &Arc<Identity>,
    organisation: &Founded,
    name_ar: &str,
    name_en: &str,
) -> Result<SpaceId, AdminError> {
    let named = [organisation.in_space()];
    let (joint, genesis) =
        found_space(SpaceKind::Joint, name_ar, name_en, &[relay.device()], &named, random())?;
    let mut log = LogWriter::create(&data.log_db(), system_clock())?;
    log.transact(|append| {
        append.found(joint)?;
        append.set_joint_space(joint)?;
        let signer = Arc::clone(relay);
        append.statements(&OwnStatements { space: joint, signer, statements: vec![genesis] })?;
        organisation.introduce(append, joint)?;
        organisation.found_own_space(append)?;
        Ok::<_, LogError>(())
    })?;
    Ok(joint)
}

/// The settings as they will be, to know where the relay will listen.
fn with_settings(settings: &Flags) -> Config {
    let mut config = Config::defaults("");
    if let Some(listen) = settings.listen {
        config.listen = listen;
    }
    if let Some(public_url) = &settings.public_url {
        config.public_url.clone_from(public_url);
    }
    config
}

/// Every name that may stand in a browser's address bar.
fn certificate_names(config: &Config, hosts: Vec<String>) -> Vec<String> {
    let mut names = hosts;
    if !config.listen.ip().is_unspecified() {
        names.push(config.listen.ip().to_string());
    }
    names.extend(config.web_url(config.listen).split("://").nth(1).and_then(host_of));
    names.extend(["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()]);
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// The host of an address without its scheme: no port, no brackets, no path.
fn host_of(rest: &str) -> Option<String> {
    let authority = rest.split('/').next()?;
    if let Ok(address) = authority.parse::<SocketAddr>() {
        let ip = address.ip();
        return (!ip.is_unspecified()).then(|| ip.to_string());
    }
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    Some(host.trim_matches(['[', ']']).to_owned()).filter(|host| !host.is_empty())
}

/// The configuration file: what was given, and how to find the rest.
fn settings_file(settings: &Flags) -> String {
    let mut text = "# Settings of this relay. `barid config` prints every key with its meaning,\n\
                    # its unit and its default.\n"
        .to_owned();
    if let Ok(serde_json::Value::Object(given)) = serde_json::to_value(settings) {
        for (key, value) in given {
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text
}

/// Moves everything up, the relay's key last.
pub(super) fn put_in_place(from: &DataDir, to: &DataDir) -> io::Result<()> {
    for path in [to.organisations(), to.tls()] {
        remove_dir(&path)?;
    }
    let key = from.relay_key();
    for entry in fs::read_dir(from.root())? {
        let path = entry?.path();
        if let Some(name) = path.file_name()
            && path != key
        {
            // A configuration file that an operator laid there before stays.
            let target = to.root().join(name);
            if target != to.config_file() || !target.exists() {
                fs::rename(&path, target)?;
            }
        }
    }
    sync_dir(to.root())?;
    fs::rename(key, to.relay_key())?;
    sync_dir(to.root())
}

fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
