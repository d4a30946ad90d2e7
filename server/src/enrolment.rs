//! Enrolment: a token that makes one device a member, once.
//!
//! A token belongs to the first device that shows it. That device may show it again, because the
//! answer may have been lost on the way; any other is refused, however close behind it was. The
//! token is taken before the device is admitted: a crash between the two leaves a token that only
//! its own device can finish using.

use std::sync::Arc;

use barid_core::clock::{Clock, Timestamp};
use barid_core::control::{DeviceStatement, SpaceKind, StatementError, admit_device};
use barid_core::id::{DeviceId, OrganisationId, SpaceId};
use barid_core::identity::Identity;
use barid_core::limits::{ENROLMENT_MS_MAX, NAME_LEN_MAX};
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use crate::data_dir::DataDir;
use crate::keys::{self, KeyError};
use crate::log::sqlite::SqliteLog;
use crate::log::writer::{Append, OwnStatements};
use crate::log::{Log as _, LogError, LogState};
use crate::relay_db::RelayDb;

/// A device is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// There is no such token, it has expired, or another device has used it.
    #[error("the enrolment code is not valid: it may have expired or been used")]
    InvalidToken,
    /// The relay does not know the organisation that the token is for.
    #[error("the organisation of the enrolment code is not in this relay's joint space")]
    UnknownOrganisation,
    /// The organisation's key lies elsewhere, so this relay cannot admit devices for it.
    #[error("this relay does not hold the organisation's key")]
    Key(#[from] KeyError),
    /// The statement cannot be written.
    #[error("writing the statement that admits the device")]
    Statement(#[from] StatementError),
    /// The log cannot be written.
    #[error("admitting the device")]
    Log(#[from] LogError),
    /// The tokens cannot be read or written.
    #[error("using an enrolment token")]
    Database(#[from] rusqlite::Error),
}

/// What a device learns when it is enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Whose it is now.
    pub organisation: OrganisationId,
    /// The organisation's name in Arabic.
    pub name_ar: String,
    /// The organisation's name in English.
    pub name_en: String,
    /// The spaces it belongs to, the joint one first.
    pub spaces: Vec<SpaceId>,
}

/// A token that was just made: shown once, stored only as a hash.
pub struct Issued {
    /// What the device shows.
    pub token: Zeroizing<[u8; 16]>,
    /// Until when.
    pub expires: Timestamp,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// The tokens of one relay; clones share them.
#[derive(Clone)]
pub struct Enrolments {
    db: RelayDb,
    data: DataDir,
    clock: Clock,
}

impl std::fmt::Debug for Enrolments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enrolments").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Enrolments {
    /// Keeps tokens in this database, and signs with the keys in this directory.
    pub fn new(db: RelayDb, data: DataDir, clock: Clock) -> Self {
        Self { db, data, clock }
    }

    /// Makes a token for one device of an organisation. `label` is what the administrator calls the
    /// device; if empty, the device's own word counts.
    pub fn issue(&self, organisation: OrganisationId, label: &str) -> Result<Issued, EnrolError> {
        // Found out now and not in the desert: whether the key is here.
        self.key(organisation)?;
        let token = Zeroizing::new(crate::secret::random::<16>());
        let now = (self.clock)();
        let expires = now.plus_millis(ENROLMENT_MS_MAX);
        let connection = self.db.lock();
        // Old tokens are kept for a while, so that a device may finish what it began.
        let forgotten = now.plus_millis(-7 * 24 * 3_600_000);
        connection.execute("DELETE FROM enrolment WHERE expires_at < ?1", [forgotten.as_millis()])?;
        connection.execute(
            "INSERT INTO enrolment (token_hash, organisation, label, expires_at) VALUES (?1, ?2, ?3, ?4)",
            params![token_hash(&token), organisation.as_bytes(), clean_label(label), expires.as_millis()],
        )?;
        Ok(Issued { token, expires })
    }

    /// Takes a token for a device: the organisation and label that it stands for.
    fn claim(&self, token: &[u8; 16], device: DeviceId) -> Result<(OrganisationId, String), EnrolError> {
        let claimed: Option<([u8; 32], String)> = self
            .db
            .lock()
            .query_row(
                "UPDATE enrolment SET device = ?2
                 WHERE token_hash = ?1 AND (device = ?2 OR (device IS NULL AND expires_at > ?3))
                 RETURNING organisation, label",
                params![token_hash(token), device.as_bytes(), (self.clock)().as_millis()],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?;
        let (organisation, label) = claimed.ok_or(EnrolError::InvalidToken)?;
        Ok((OrganisationId::from_bytes(organisation), label))
    }

    fn key(&self, organisation: OrganisationId) -> Result<Arc<Identity>, KeyError> {
        keys::load(&self.data.organisation_key(organisation)).map(Arc::new)
    }

    /// Makes a device a member for a token, in the joint space and in its organisation's own, and
    /// returns when that is durable. The device must have proved that it holds its key.
    pub async fn redeem(
        &self,
        log: &SqliteLog,
        token: [u8; 16],
        device: DeviceId,
        label: &str,
    ) -> Result<Enrolled, EnrolError> {
        let this = self.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let token = Zeroizing::new(token);
            let (organisation, label) = this.claim(&token, device)?;
            Ok::<_, EnrolError>((organisation, label, this.key(organisation)?))
        });
        let (organisation, given_label, signer) = taken.await.map_err(|_| LogError::GivenUp)??;
        let label = if given_label.is_empty() { clean_label(label) } else { given_label };
        let state = Arc::clone(&log.state().borrow());
        let enrolled = enrolled(&state, organisation).ok_or(EnrolError::UnknownOrganisation)?;
        let spaces = enrolled.spaces.clone();
        let admitted = log.transact(move |append| {
            for space in spaces {
                admit(append, space, &signer, device, organisation, &label)?;
            }
            Ok(())
        });
        admitted.await?;
        tracing::info!(%device, %organisation, "a device is enrolled");
        Ok(enrolled)
    }
}

/// The spaces of an organisation's devices, and its names.
fn enrolled(state: &LogState, organisation: OrganisationId) -> Option<Enrolled> {
    let joint = state.joint_space?;
    let joint_membership = &state.spaces.get(&joint)?.membership;
    let statement = joint_membership.organisation(organisation)?;
    let own = state.spaces.iter().filter(|(_, state)| {
        state.membership.space().is_some_and(|space| {
            space.kind == SpaceKind::Organisation && space.organisations.iter().any(|o| o.id == organisation)
        })
    });
    Some(Enrolled {
        organisation,
        name_ar: statement.name_ar.clone(),
        name_en: statement.name_en.clone(),
        spaces: std::iter::once(joint).chain(own.map(|(id, _)| *id)).collect(),
    })
}

/// Appends the statement that makes a device a member, unless it is one already.
fn admit(
    append: &mut Append<'_>,
    space: SpaceId,
    signer: &Arc<Identity>,
    device: DeviceId,
    organisation: OrganisationId,
    label: &str,
) -> Result<(), LogError> {
    let membership = append.membership(space)?;
    let held = membership.as_deref().and_then(|membership| membership.device(device));
    let is_member =
        |held: &DeviceStatement| held.is_active() && held.organisation == organisation && held.label == label;
    if held.is_some_and(is_member) {
        return Ok(());
    }
    let version = held.map_or(1, |held| held.version + 1);
    let statement =
        admit_device(device, version, organisation, label, "patrol").map_err(LogError::OwnStatement)?;
    append.statements(&OwnStatements { space, signer: Arc::clone(signer), statements: vec![statement] })?;
    Ok(())
}

fn token_hash(token: &[u8; 16]) -> [u8; 32] {
    blake3::derive_key("barid 2026 enrolment token", token)
}

/// A label as people may read it: without control characters, within its bound.
fn clean_label(label: &str) -> String {
    let mut clean: String = label.trim().chars().filter(|c| !c.is_control()).collect();
    while clean.len() > NAME_LEN_MAX {
        clean.pop();
    }
    clean
}
