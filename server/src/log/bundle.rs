//! Bundles of a log: what a recipient may have of it, written; and what one brings, appended.

use std::collections::HashSet;
use std::io::{Read, Write};

use barid_core::batch::{BatchKind, Header, Lane};
use barid_core::bundle::{
    BundleError, BundleItem, BundleReader, BundleWriteError, BundleWriter, Manifest, MissingRun, missing,
};
use barid_core::clock::Timestamp;
use barid_core::control::{QuarantineReason, RefuseReason, RetryReason, Verdict};
use barid_core::id::{DeviceId, SpaceId};
use barid_core::limits::{BUNDLE_BATCHES_MAX, RELAY_READ_LEN_MAX};

use super::reader::LogReader;
use super::writer::LogWriter;
use super::{LogError, LogState, LoggedBatch, Outcome, VerifiedBatch, verify};

/// Batches that are appended in one transaction.
const GROUP_LEN: usize = 64;

/// A bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum GiveError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The bundle cannot be written.
    #[error(transparent)]
    Write(#[from] BundleWriteError),
}

/// The spaces of which a device may have something, and whether all of each: a member that was revoked,
/// or has left, gets the control batches alone. Empty for a key that no space knows.
pub fn due(state: &LogState, recipient: DeviceId) -> Vec<(SpaceId, bool)> {
    let of = |(space, state): (&SpaceId, &super::SpaceState)| {
        let device = state.membership.device(recipient)?;
        Some((*space, device.is_active() && !state.membership.is_revoked(recipient)))
    };
    state.spaces.iter().filter_map(of).collect()
}

/// What a bundle of these spaces is to hold, and how many batches the disk has spoiled.
pub fn manifest(
    log: &LogReader,
    spaces: &[(SpaceId, bool)],
    now: Timestamp,
) -> Result<(Manifest, u64), GiveError> {
    let mut manifest = Manifest::new(now);
    let damaged = each(log, spaces, |logged| {
        manifest.add(&logged.batch);
        Ok(())
    })?;
    match manifest.count() {
        count if count > BUNDLE_BATCHES_MAX => Err(BundleWriteError::TooMany(count).into()),
        _ => Ok((manifest, damaged)),
    }
}

/// Writes what a manifest of these spaces names, encrypted to its recipient. `random` must be just that,
/// and never used again.
pub fn give(
    log: &LogReader,
    spaces: &[(SpaceId, bool)],
    recipient: DeviceId,
    manifest: &Manifest,
    random: [u8; 40],
    out: impl Write,
) -> Result<(), GiveError> {
    let runs = manifest.spaces.iter().flat_map(|space| &space.runs);
    let mut named: HashSet<_> = runs.flat_map(|run| run.batches.iter().copied()).collect();
    let mut writer = BundleWriter::begin(out, recipient, manifest, random)?;
    // What has come since is not named, and so not written.
    each(log, spaces, |logged| {
        if named.remove(&logged.batch.id()) { Ok(writer.batch(&logged.batch)?) } else { Ok(()) }
    })?;
    writer.finish()?;
    Ok(())
}

/// What became of the batches of a bundle.
#[derive(Debug, Default)]
pub struct Imported {
    /// When it was made, by the clock of who made it.
    pub created: Option<Timestamp>,
    /// How many batches it should hold.
    pub batches_total: u64,
    /// New in the log.
    pub appended: u64,
    /// In the log already.
    pub held: u64,
    /// Kept in quarantine, by reason.
    pub quarantined: Vec<(QuarantineReason, u64)>,
    /// Not taken yet, by reason.
    pub retry: Vec<(RetryReason, u64)>,
    /// Never to be taken, by reason.
    pub refused: Vec<(RefuseReason, u64)>,
    /// What the bundle should hold and does not.
    pub missing: Vec<MissingRun>,
    /// What is wrong with the file, if its end was not reached.
    pub damage: Option<BundleError>,
}

impl Imported {
    /// Whether everything came whole and is in the log, or in quarantine.
    pub fn is_whole(&self) -> bool {
        self.damage.is_none() && self.missing.is_empty() && self.retry.is_empty() && self.refused.is_empty()
    }
}

/// Shows every batch in the order of the bundle: control first, then lane after lane. How many the
/// disk has spoiled.
fn each(
    log: &LogReader,
    spaces: &[(SpaceId, bool)],
    mut show: impl FnMut(&LoggedBatch) -> Result<(), GiveError>,
) -> Result<u64, GiveError> {
    let is_control = |header: &Header| header.kind == BatchKind::Control;
    let mut damaged = 0;
    for (space, _) in spaces {
        damaged += each_of(log, *space, |header| is_control(header), &mut show)?;
    }
    for lane in Lane::ALL {
        for (space, _) in spaces.iter().filter(|(_, full)| *full) {
            each_of(log, *space, |header| header.lane == lane && !is_control(header), &mut show)?;
        }
    }
    Ok(damaged)
}

fn each_of(
    log: &LogReader,
    space: SpaceId,
    goes: impl Fn(&Header) -> bool,
    show: &mut impl FnMut(&LoggedBatch) -> Result<(), GiveError>,
) -> Result<u64, GiveError> {
    let (mut after, mut damaged) = (0, 0);
    loop {
        let page = log.read_after(space, after, RELAY_READ_LEN_MAX, None)?;
        for logged in page.batches.iter().filter(|logged| goes(logged.batch.header())) {
            show(logged)?;
        }
        damaged += page.damaged.len() as u64;
        let Some((reached, _)) = page.reached else { return Ok(damaged) };
        after = reached;
    }
}

/// Verifies and appends what a bundle holds, as far as it is whole.
pub fn take(log: &mut LogWriter, mut reader: BundleReader<impl Read>) -> Result<Imported, LogError> {
    let mut imported = Imported {
        created: Some(reader.manifest().created),
        batches_total: reader.manifest().count() as u64,
        ..Imported::default()
    };
    let mut seen = HashSet::new();
    let mut group = Vec::with_capacity(GROUP_LEN);
    loop {
        match reader.next_item() {
            Ok(Some(BundleItem::Batch(batch))) => {
                seen.insert(batch.id());
                match verify(batch) {
                    Ok(verified) => group.push(verified),
                    Err(error) => imported.count(Verdict::from(error)),
                }
            }
            Ok(Some(BundleItem::Unread(id))) => {
                seen.insert(id);
                imported.count(Verdict::RetryLater(RetryReason::UnknownVersion));
            }
            Ok(None) => break,
            Err(damage) => {
                imported.damage = Some(damage);
                break;
            }
        }
        if group.len() == GROUP_LEN {
            append(log, &mut group, &mut imported)?;
        }
    }
    append(log, &mut group, &mut imported)?;
    imported.missing = missing(reader.manifest(), &seen);
    Ok(imported)
}

/// Appends some batches; they are durable when this returns.
fn append(
    log: &mut LogWriter,
    group: &mut Vec<VerifiedBatch>,
    imported: &mut Imported,
) -> Result<(), LogError> {
    if group.is_empty() {
        return Ok(());
    }
    let outcomes = log.transact(|append| {
        group.iter().map(|batch| append.batch(batch)).collect::<Result<Vec<Outcome>, _>>()
    })?;
    group.clear();
    for outcome in outcomes {
        match outcome {
            Outcome::AlreadyHeld { .. } => imported.held += 1,
            outcome => imported.count(outcome.into()),
        }
    }
    Ok(())
}

impl Imported {
    fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Accepted => self.appended += 1,
            Verdict::Quarantined(reason) => add(&mut self.quarantined, reason),
            Verdict::RetryLater(reason) => add(&mut self.retry, reason),
            Verdict::Refused(reason) => add(&mut self.refused, reason),
        }
    }
}

fn add<R: PartialEq>(counts: &mut Vec<(R, u64)>, reason: R) {
    match counts.iter_mut().find(|(known, _)| *known == reason) {
        Some((_, count)) => *count += 1,
        None => counts.push((reason, 1)),
    }
}
