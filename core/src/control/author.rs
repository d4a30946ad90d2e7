//! What an administrator does: making statements and sealing them into a chain.

use super::statement::{
    AdoptStatement, Cut, DeviceState, DeviceStatement, DiscardStatement, Discarded, EraseStatement,
    OrganisationStatement, RevokeStatement, SpaceKind, SpaceOrganisation, SpaceStatement, Statement,
    StatementError,
};
use crate::batch::{BatchKind, Entry, Lane, SealError, SealSpec, SealedBatch, seal};
use crate::clock::Timestamp;
use crate::id::{BatchId, DeviceId, Incarnation, OrganisationId, RecordId, SpaceId};
use crate::identity::Identity;
use crate::limits::{REVOKE_CHAINS_MAX, STATEMENT_CHAINS_MAX};

/// Makes the first statement about an organisation, whose hash is its id. Its own key signs it.
pub fn found_organisation(
    kind: &str,
    name_ar: &str,
    name_en: &str,
    key: DeviceId,
    nonce: [u8; 16],
) -> Result<(OrganisationId, Vec<u8>), StatementError> {
    let statement = Statement::Organisation(OrganisationStatement {
        id: OrganisationId::from_bytes([0; 32]),
        version: 1,
        kind: kind.to_owned(),
        name_ar: name_ar.to_owned(),
        name_en: name_en.to_owned(),
        key,
        nonce: Some(nonce),
    });
    let bytes = statement.to_bytes()?;
    match Statement::from_bytes(&bytes)? {
        Statement::Organisation(organisation) => Ok((organisation.id, bytes)),
        _ => Err(StatementError::Key("type")),
    }
}

/// Makes the first statement about a space, whose hash is its id. One of the administrators signs.
pub fn found_space(
    kind: SpaceKind,
    name_ar: &str,
    name_en: &str,
    administrators: &[DeviceId],
    organisations: &[SpaceOrganisation],
    nonce: [u8; 16],
) -> Result<(SpaceId, Vec<u8>), StatementError> {
    let statement = Statement::Space(SpaceStatement {
        id: SpaceId::from_bytes([0; 32]),
        version: 1,
        kind,
        name_ar: name_ar.to_owned(),
        name_en: name_en.to_owned(),
        administrators: administrators.to_vec(),
        organisations: organisations.to_vec(),
        nonce: Some(nonce),
    });
    let bytes = statement.to_bytes()?;
    match Statement::from_bytes(&bytes)? {
        Statement::Space(space) => Ok((space.id, bytes)),
        _ => Err(StatementError::Key("type")),
    }
}

/// Makes the statement that admits a device. The organisation's key, as the space names it, signs.
pub fn admit_device(
    device: DeviceId,
    version: u64,
    organisation: OrganisationId,
    label: &str,
    role: &str,
) -> Result<Vec<u8>, StatementError> {
    Statement::Device(DeviceStatement {
        device,
        version,
        organisation,
        label: label.to_owned(),
        role: role.to_owned(),
        state: DeviceState::Active,
    })
    .to_bytes()
}

/// Makes the statements that revoke a device beyond a cut, of up to `REVOKE_CHAINS_MAX` chains. They
/// go into one batch together, or those left out would cut the chains that they name to nothing.
pub fn revoke_device(device: DeviceId, reason: &str, cut: Vec<Cut>) -> Result<Vec<Vec<u8>>, StatementError> {
    revoke(device, reason, cut, false)
}

/// The same, and the device is asked to delete what it holds.
pub fn revoke_device_and_ask_wipe(
    device: DeviceId,
    reason: &str,
    cut: Vec<Cut>,
) -> Result<Vec<Vec<u8>>, StatementError> {
    revoke(device, reason, cut, true)
}

fn revoke(
    device: DeviceId,
    reason: &str,
    mut cut: Vec<Cut>,
    wipe: bool,
) -> Result<Vec<Vec<u8>>, StatementError> {
    if cut.len() > REVOKE_CHAINS_MAX {
        return Err(StatementError::Key("cut"));
    }
    cut.sort_unstable();
    let statement = |cut: &[Cut]| {
        let (reason, cut) = (reason.to_owned(), cut.to_vec());
        Statement::Revoke(RevokeStatement { device, version: 1, cut, reason, wipe }).to_bytes()
    };
    if cut.is_empty() {
        Ok(vec![statement(&[])?])
    } else {
        cut.chunks(STATEMENT_CHAINS_MAX).map(statement).collect()
    }
}

/// Makes the statements that let a revoked device's chains stand up to these places.
pub fn adopt(device: DeviceId, mut chains: Vec<Cut>) -> Result<Vec<Vec<u8>>, StatementError> {
    chains.sort_unstable();
    let statement = |chains: &[Cut]| {
        Statement::Adopt(AdoptStatement { device, version: 1, chains: chains.to_vec() }).to_bytes()
    };
    chains.chunks(STATEMENT_CHAINS_MAX).map(statement).collect()
}

/// Makes the statements that let be deleted what is in quarantine of these chains, up to these places.
pub fn discard(device: DeviceId, mut chains: Vec<Discarded>) -> Result<Vec<Vec<u8>>, StatementError> {
    chains.sort_unstable();
    let statement = |chains: &[Discarded]| {
        Statement::Discard(DiscardStatement { device, version: 1, chains: chains.to_vec() }).to_bytes()
    };
    chains.chunks(STATEMENT_CHAINS_MAX).map(statement).collect()
}

/// Makes the statement that erases a record; with the kind `track`, the track of a patrol.
pub fn erase(kind: &str, record: RecordId) -> Result<Vec<u8>, StatementError> {
    Statement::Erase(EraseStatement { kind: kind.to_owned(), version: 1, record }).to_bytes()
}

/// Seals statements into one control batch at this place of the administrator's chain.
#[allow(clippy::too_many_arguments, reason = "they are a header's fields, each of its own type")]
pub fn seal_control(
    key: &Identity,
    incarnation: Incarnation,
    space: SpaceId,
    seq: u64,
    prev: BatchId,
    control_head: BatchId,
    statements: &[Vec<u8>],
    now: Timestamp,
    seed: [u8; 16],
) -> Result<SealedBatch, SealError> {
    let entries: Vec<_> = statements.iter().cloned().map(Entry::Control).collect();
    let spec = SealSpec {
        key,
        incarnation,
        space,
        lane: Lane::Urgent,
        seq,
        prev,
        control_head,
        kind: BatchKind::Control,
        claimed_time: now,
        seed,
    };
    seal(spec, &entries)
}

/// One administrator's chain of control batches in one space, and where it stands.
#[derive(Debug, Clone)]
pub struct ControlChain<'a> {
    /// Who signs.
    pub key: &'a Identity,
    /// With which database file; a key that writes with a new file takes a new one.
    pub incarnation: Incarnation,
    /// In which space.
    pub space: SpaceId,
    /// The last batch's place in the chain; 0 before the first.
    pub seq: u64,
    /// The last batch; zeros before the first.
    pub prev: BatchId,
}

impl<'a> ControlChain<'a> {
    /// A chain without a batch.
    pub fn new(key: &'a Identity, incarnation: Incarnation, space: SpaceId) -> Self {
        Self { key, incarnation, space, seq: 0, prev: BatchId::from_bytes([0; 32]) }
    }

    /// Seals the next batch, which the chain then ends with.
    pub fn seal(
        &mut self,
        statements: &[Vec<u8>],
        now: Timestamp,
        seed: [u8; 16],
    ) -> Result<SealedBatch, SealError> {
        let Self { key, incarnation, space, seq, prev } = *self;
        let batch = seal_control(key, incarnation, space, seq + 1, prev, prev, statements, now, seed)?;
        (self.seq, self.prev) = (seq + 1, batch.id());
        Ok(batch)
    }
}
