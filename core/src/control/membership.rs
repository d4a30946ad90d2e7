//! Who belongs to a space: what the statements held amount to.
//!
//! A statement counts once its signer may make it, and a signer may because of other statements:
//! the least set that is closed under this rule is the same in whatever order they came. Keys are
//! never taken out of it. Taking a device out is what a revoke and its cut are for: it puts what the
//! device wrote beyond the cut into quarantine, and an adopt takes it out again.

use std::collections::{BTreeMap, BTreeSet};

use super::bound::{Bound, Decisions};
use super::statement::{
    DeviceStatement, OrganisationStatement, RevokeStatement, SpaceStatement, Statement, StatementError,
};
use super::{RefuseReason, RetryReason, Verdict};
use crate::batch::{BatchKind, Body, BodyEntry, Entry, Header, Lane, SealedBatch};
use crate::id::{BatchId, DeviceId, Incarnation, OrganisationId, RecordId, SpaceId};
use crate::limits::CONTROL_WAITING_MAX;

/// A statement cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// It is not a statement.
    #[error("applying a control statement")]
    Statement(#[from] StatementError),
    /// It is about another space.
    #[error("applying a control statement: it is about another space")]
    OtherSpace,
    /// Too many statements wait for their signer to become known.
    #[error("applying a control statement: too many wait already")]
    TooManyWaiting,
}

/// A statement and what decides between several of one subject.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Standing<T> {
    statement: T,
    version: u64,
    batch: BatchId,
    bytes: Vec<u8>,
}

/// A statement whose signer may not make it, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waiting {
    signer: DeviceId,
    batch: BatchId,
    statement: Statement,
    bytes: Vec<u8>,
}

/// The members of one space.
#[derive(Debug, Clone)]
pub struct Membership {
    id: SpaceId,
    space: Option<Standing<SpaceStatement>>,
    administrators: BTreeSet<DeviceId>,
    organisation_keys: BTreeSet<(OrganisationId, DeviceId)>,
    organisations: BTreeMap<OrganisationId, Standing<OrganisationStatement>>,
    devices: BTreeMap<DeviceId, Standing<DeviceStatement>>,
    /// Whoever admitted a device, whatever a later statement says: it may also take it out.
    admitters: BTreeSet<(DeviceId, OrganisationId)>,
    revokes: BTreeMap<(DeviceId, BatchId, Vec<u8>), RevokeStatement>,
    decisions: Decisions,
    has_unknown_critical: bool,
    applied: BTreeSet<(BatchId, [u8; 32])>,
    waiting: Vec<Waiting>,
    control_head: Option<BatchId>,
}

impl Membership {
    /// A space of which nothing is known but its id.
    pub fn new(space: SpaceId) -> Self {
        Self {
            id: space,
            space: None,
            administrators: BTreeSet::new(),
            organisation_keys: BTreeSet::new(),
            organisations: BTreeMap::new(),
            devices: BTreeMap::new(),
            admitters: BTreeSet::new(),
            revokes: BTreeMap::new(),
            decisions: Decisions::default(),
            has_unknown_critical: false,
            applied: BTreeSet::new(),
            waiting: Vec::new(),
            control_head: None,
        }
    }

    /// Applies one statement of a control batch whose signature was checked. The order does not
    /// matter, and applying it again changes nothing; what cannot be judged yet is kept aside and
    /// tried again at each call.
    pub fn apply(&mut self, signer: DeviceId, batch: BatchId, statement: &[u8]) -> Result<(), ControlError> {
        let key = (batch, *blake3::hash(statement).as_bytes());
        if self.applied.contains(&key) {
            return Ok(());
        }
        let bytes = statement.to_vec();
        let statement = Statement::from_bytes(statement)?;
        if matches!(&statement, Statement::Space(space) if space.id != self.id) {
            return Err(ControlError::OtherSpace);
        }
        let waiting = Waiting { signer, batch, statement, bytes };
        if self.may_make(&waiting) {
            self.applied.insert(key);
            self.take(waiting);
            self.retry_waiting();
        } else if self.waiting.len() >= CONTROL_WAITING_MAX {
            return Err(ControlError::TooManyWaiting);
        } else {
            self.applied.insert(key);
            self.waiting.push(waiting);
        }
        Ok(())
    }

    /// Judges a control batch that was verified and opened, and applies it if it is accepted. A
    /// statement that nobody could read spoils no other. It may bring the genesis that makes its
    /// own signer known.
    pub fn apply_batch(&mut self, batch: &SealedBatch, body: &Body) -> Verdict {
        let signer = batch.header().device;
        let statements = || {
            body.entries.iter().filter_map(|entry| match entry {
                BodyEntry::Present { entry: Entry::Control(statement), .. } => Some(statement.as_slice()),
                _ => None,
            })
        };
        let verdict = match self.verdict(batch.header(), batch.id()) {
            Verdict::RetryLater(RetryReason::UnknownSpace) if batch.header().space == self.id => {
                let brings_genesis = statements().any(|statement| {
                    matches!(Statement::from_bytes(statement), Ok(Statement::Space(space))
                        if self.is_genesis(&space, signer))
                });
                if brings_genesis {
                    Verdict::Accepted
                } else {
                    Verdict::RetryLater(RetryReason::UnknownSpace)
                }
            }
            verdict => verdict,
        };
        if verdict == Verdict::Accepted && batch.header().kind == BatchKind::Control {
            for statement in statements() {
                // Kept in the batch for whoever can read it; nothing else depends on it here.
                let _unreadable = self.apply(signer, batch.id(), statement);
            }
        }
        verdict
    }

    /// What becomes of a batch, as far as its author and its place decide. Where its chain has a bound
    /// or a fork, [`super::branch::standing`] has the last word. No revoke reaches control batches.
    pub fn verdict(&self, header: &Header, batch: BatchId) -> Verdict {
        if header.space != self.id {
            return Verdict::Refused(RefuseReason::Misplaced);
        }
        if self.space.is_none() {
            return Verdict::RetryLater(RetryReason::UnknownSpace);
        }
        let is_known = match header.kind {
            BatchKind::Control => self.may_control(header.device),
            BatchKind::Entries if self.has_unknown_critical => {
                return Verdict::RetryLater(RetryReason::UnknownControl);
            }
            BatchKind::Entries => self.device(header.device).is_some_and(DeviceStatement::is_active),
        };
        match header.kind {
            _ if !is_known => Verdict::RetryLater(RetryReason::UnknownDevice),
            BatchKind::Control => Verdict::Accepted,
            BatchKind::Entries => {
                self.bound(header.device, header.incarnation, header.lane).verdict(header.seq, batch)
            }
        }
    }

    /// How far a chain stands.
    pub fn bound(&self, device: DeviceId, incarnation: Incarnation, lane: Lane) -> Bound {
        if self.is_revoked(device) {
            self.decisions.bound(device, incarnation, lane)
        } else {
            Bound::unbounded()
        }
    }

    /// Whether a device was revoked. A key that may sign control batches cannot be: its statements
    /// stand, so nothing would come of it.
    pub fn is_revoked(&self, device: DeviceId) -> bool {
        self.decisions.is_revoked(device) && !self.may_control(device)
    }

    /// Whether whoever revoked a device asks it to delete what it holds.
    pub fn is_wipe_asked(&self, device: DeviceId) -> bool {
        self.is_revoked(device) && self.revokes().any(|revoke| revoke.device == device && revoke.wipe)
    }

    /// The key of the organisation that a device belongs to, as the space names it.
    pub fn organisation_key(&self, device: DeviceId) -> Option<DeviceId> {
        let organisation = self.device(device)?.organisation;
        let named = self.space()?.organisations.iter().find(|named| named.id == organisation)?;
        Some(named.key)
    }

    /// How many places of a device's chains were adopted up to.
    pub fn adopted(&self, device: DeviceId) -> usize {
        self.decisions.adopted(device)
    }

    /// The highest sequence number of a chain up to which what is in quarantine may be deleted; 0 if
    /// none of it may.
    pub fn discarded(&self, device: DeviceId, incarnation: Incarnation, lane: Lane) -> u64 {
        self.decisions.discarded(device, incarnation, lane)
    }

    /// Whether a record was erased. The kind `track` stands for the track of a patrol.
    pub fn is_erased(&self, kind: &str, record: RecordId) -> bool {
        self.decisions.is_erased(kind, record)
    }

    /// Whether anything was erased: only then may a batch have erased entries.
    pub fn has_erasures(&self) -> bool {
        self.decisions.has_erasures()
    }

    /// Everything that was erased, by record.
    pub fn erasures(&self) -> impl Iterator<Item = (&str, RecordId)> {
        self.decisions.erasures()
    }

    /// The space.
    pub fn space(&self) -> Option<&SpaceStatement> {
        self.space.as_ref().map(|standing| &standing.statement)
    }

    /// A device, if it was admitted.
    pub fn device(&self, device: DeviceId) -> Option<&DeviceStatement> {
        self.devices.get(&device).map(|standing| &standing.statement)
    }

    /// The batch with the statement about a device that counts.
    pub fn admitted_by(&self, device: DeviceId) -> Option<BatchId> {
        self.devices.get(&device).map(|standing| standing.batch)
    }

    /// Every admitted device, by key.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceStatement> {
        self.devices.values().map(|standing| &standing.statement)
    }

    /// An organisation, if a statement names it.
    pub fn organisation(&self, id: OrganisationId) -> Option<&OrganisationStatement> {
        self.organisations.get(&id).map(|standing| &standing.statement)
    }

    /// Every organisation, by id.
    pub fn organisations(&self) -> impl Iterator<Item = &OrganisationStatement> {
        self.organisations.values().map(|standing| &standing.statement)
    }

    /// Every revoke, by device.
    pub fn revokes(&self) -> impl Iterator<Item = &RevokeStatement> {
        self.revokes.values()
    }

    /// The control batch applied last: what an author names as the newest that it knows.
    pub fn control_head(&self) -> Option<BatchId> {
        self.control_head
    }

    /// Whether this key may sign control batches of the space.
    pub fn may_control(&self, key: DeviceId) -> bool {
        self.administrators.contains(&key)
            || self.organisation_keys.iter().any(|(_, organisation_key)| *organisation_key == key)
    }

    fn is_genesis(&self, space: &SpaceStatement, signer: DeviceId) -> bool {
        space.id == self.id && space.version == 1 && space.administrators.contains(&signer)
    }

    fn speaks_for(&self, organisation: OrganisationId, key: DeviceId) -> bool {
        self.organisation_keys.contains(&(organisation, key))
    }

    /// Whether a key may revoke a device, and adopt or discard what it wrote: an administrator's, or
    /// one of an organisation that admitted it.
    pub fn may_decide_on(&self, device: DeviceId, key: DeviceId) -> bool {
        self.administrators.contains(&key)
            || self.organisation_keys.iter().any(|(organisation, organisation_key)| {
                *organisation_key == key && self.admitters.contains(&(device, *organisation))
            })
    }

    /// Whether the signer may make this statement, as far as is known.
    fn may_make(&self, waiting: &Waiting) -> bool {
        let is_administrator = self.administrators.contains(&waiting.signer);
        match &waiting.statement {
            Statement::Space(space) => is_administrator || self.is_genesis(space, waiting.signer),
            Statement::Organisation(organisation) => self.speaks_for(organisation.id, waiting.signer),
            Statement::Device(device) => self.speaks_for(device.organisation, waiting.signer),
            Statement::Revoke(revoke) => self.may_decide_on(revoke.device, waiting.signer),
            Statement::Adopt(adopt) => self.may_decide_on(adopt.device, waiting.signer),
            Statement::Discard(discard) => self.may_decide_on(discard.device, waiting.signer),
            Statement::Erase(_) | Statement::Unknown { .. } => self.may_control(waiting.signer),
        }
    }

    fn take(&mut self, waiting: Waiting) {
        let Waiting { batch, statement, bytes, .. } = waiting;
        self.control_head = Some(batch);
        match statement {
            Statement::Space(statement) => {
                self.administrators.extend(&statement.administrators);
                self.organisation_keys.extend(
                    statement.organisations.iter().map(|organisation| (organisation.id, organisation.key)),
                );
                let new = Standing { version: statement.version, statement, batch, bytes };
                if self.space.as_ref().is_none_or(|old| new.beats(old)) {
                    self.space = Some(new);
                }
            }
            Statement::Organisation(statement) => {
                let new = Standing { version: statement.version, statement, batch, bytes };
                stand(&mut self.organisations, new.statement.id, new);
            }
            Statement::Device(statement) => {
                self.admitters.insert((statement.device, statement.organisation));
                let new = Standing { version: statement.version, statement, batch, bytes };
                stand(&mut self.devices, new.statement.device, new);
            }
            Statement::Revoke(statement) => {
                self.decisions.revoke(batch, &statement);
                self.revokes.insert((statement.device, batch, bytes), statement);
            }
            Statement::Adopt(statement) => self.decisions.adopt(&statement),
            Statement::Discard(statement) => self.decisions.discard(&statement),
            Statement::Erase(statement) => self.decisions.erase(&statement),
            Statement::Unknown { critical, .. } => self.has_unknown_critical |= critical,
        }
    }

    /// Each statement taken may let others be taken.
    fn retry_waiting(&mut self) {
        while let Some(index) = self.waiting.iter().position(|waiting| self.may_make(waiting)) {
            let waiting = self.waiting.swap_remove(index);
            self.take(waiting);
        }
    }
}

impl<T> Standing<T> {
    /// The highest version wins, then the smallest batch id, then the smallest bytes.
    fn beats(&self, other: &Self) -> bool {
        (other.version, &self.batch, &self.bytes) < (self.version, &other.batch, &other.bytes)
    }
}

fn stand<K: Ord, T>(standing: &mut BTreeMap<K, Standing<T>>, subject: K, new: Standing<T>) {
    if standing.get(&subject).is_none_or(|old| new.beats(old)) {
        standing.insert(subject, new);
    }
}

#[cfg(test)]
mod tests;
