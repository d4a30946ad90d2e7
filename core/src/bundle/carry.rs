//! From a store into a bundle, and from a bundle into a store.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};

use super::{
    BundleError, BundleItem, BundleReader, BundleWriteError, BundleWriter, FileError, Manifest, MissingRun,
    missing,
};
use crate::batch::{BatchKind, Lane, SealedBatch};
use crate::clock::Timestamp;
use crate::exchange::{Cancel, is_member, tally};
use crate::id::{BatchId, DeviceId, Incarnation, SpaceId};
use crate::identity::Identity;
use crate::limits::{BUNDLE_BATCHES_MAX, PEER_GROUP_LEN};
use crate::position::Height;
use crate::protocol::Tally;
use crate::store::{IngestError, Store, StoreError};

/// What of a space goes into a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BundleScope {
    /// What the relay is not known to hold: this device's own, and what it carries of others.
    #[default]
    NotAtRelay,
    /// Everything that is held.
    Everything,
    /// What lies above these heights.
    Above(Vec<(SpaceId, Height)>),
}

/// What went into a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportReport {
    /// Batches.
    pub batches: u64,
    /// Their bytes.
    pub len: u64,
    /// Spaces of which the recipient is no member, as far as is known here: it gets control batches
    /// alone.
    pub control_only: Vec<SpaceId>,
    /// Whether there is more than one bundle holds.
    pub is_partial: bool,
}

/// A bundle is not made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store could not be read.
    #[error("making a bundle: this device's database failed")]
    Store(#[from] StoreError),
    /// The bundle could not be written.
    #[error(transparent)]
    Write(#[from] BundleWriteError),
    /// The file could not be put in place.
    #[error("making a bundle: {0}")]
    File(#[from] FileError),
    /// The system has no randomness.
    #[error("making a bundle: the system has no randomness")]
    Randomness,
    /// The app has cancelled it.
    #[error("making a bundle was cancelled")]
    Cancelled,
}

/// A bundle is not taken in any further. What came before is.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nothing of it could be read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// What came could not be stored.
    #[error("taking in a bundle: this device's database failed")]
    Ingest(#[from] IngestError),
    /// The store could not be read.
    #[error("taking in a bundle: this device's database failed")]
    Store(#[from] StoreError),
}

/// What came out of a bundle.
#[derive(Debug, Default)]
pub struct ImportReport {
    /// When it was made, by the clock of who made it.
    pub created: Option<Timestamp>,
    /// What became of the batches in it.
    pub tally: Tally,
    /// Batches of spaces that this device has not joined: passed over.
    pub other_spaces: u64,
    /// How many batches it should hold.
    pub batches_total: u64,
    /// Which of them are not there.
    pub missing: Vec<MissingRun>,
    /// What is wrong with the file, if its end was not reached.
    pub damage: Option<BundleError>,
    /// The app has cancelled it.
    pub is_cancelled: bool,
}

impl ImportReport {
    /// Whether everything that the bundle should hold was there.
    pub fn is_whole(&self) -> bool {
        self.damage.is_none() && self.missing.is_empty() && !self.is_cancelled
    }
}

/// What is chosen of a store for a recipient.
#[derive(Debug)]
struct Choice<'a> {
    store: &'a Store,
    /// Each with whether the recipient gets more than control batches.
    spaces: Vec<(SpaceId, bool)>,
    scope: &'a BundleScope,
}

/// What is asked of a store for a bundle.
#[derive(Debug, Clone, Copy)]
pub struct BundleRequest<'a> {
    /// Whom it is for.
    pub recipient: DeviceId,
    /// The recipient is this device's relay, which may hold everything; a device gets what it is a
    /// member of.
    pub is_relay: bool,
    /// Of which spaces.
    pub spaces: &'a [SpaceId],
    /// What of them.
    pub scope: &'a BundleScope,
    /// The time that the manifest says.
    pub now: Timestamp,
}

/// Writes a bundle of a store for a recipient. `on_progress` is called with the bytes of batches
/// written and in all.
pub fn export(
    store: &Store,
    request: BundleRequest<'_>,
    out: impl Write,
    cancel: &Cancel,
    mut on_progress: impl FnMut(u64, u64),
) -> Result<ExportReport, ExportError> {
    let BundleRequest { recipient, is_relay, spaces, scope, now } = request;
    let mut chosen = Vec::new();
    for space in spaces {
        store.seal_pending(*space)?;
        chosen.push((*space, is_relay || is_member(&store.membership(*space)?, recipient)));
    }
    let choice = Choice { store, spaces: chosen, scope };
    let mut manifest = Manifest::new(now);
    let control_only = choice.spaces.iter().filter(|(_, full)| !full).map(|(space, _)| *space).collect();
    let mut report = ExportReport { control_only, ..ExportReport::default() };
    choice.each(|batch| {
        report.is_partial = report.batches as usize == BUNDLE_BATCHES_MAX;
        if !report.is_partial {
            manifest.add(batch);
            report.batches += 1;
        }
        if cancel.is_cancelled() { Err(ExportError::Cancelled) } else { Ok(!report.is_partial) }
    })?;
    report.len = manifest.batches_len;
    let mut random = [0; 40];
    getrandom::fill(&mut random).map_err(|_| ExportError::Randomness)?;
    let mut writer = BundleWriter::begin(out, recipient, &manifest, random)?;
    let mut named: HashSet<BatchId> =
        manifest.spaces.iter().flat_map(|space| &space.runs).flat_map(|run| run.batches.clone()).collect();
    let mut written = 0;
    // What has been recorded since is not named, and so not written.
    choice.each(|batch| {
        if named.remove(&batch.id()) {
            writer.batch(batch)?;
            written += batch.as_bytes().len() as u64;
            on_progress(written, report.len);
        }
        if cancel.is_cancelled() { Err(ExportError::Cancelled) } else { Ok(!named.is_empty()) }
    })?;
    writer.finish()?;
    Ok(report)
}

impl Choice<'_> {
    /// Shows every batch chosen, in the order of the bundle, until told to stop.
    fn each(
        &self,
        mut show: impl FnMut(&SealedBatch) -> Result<bool, ExportError>,
    ) -> Result<(), ExportError> {
        match self.scope {
            BundleScope::NotAtRelay => self.each_not_at_relay(show),
            BundleScope::Everything => self.each_above(&[], &mut show),
            BundleScope::Above(heights) => self.each_above(heights, &mut show),
        }
    }

    fn each_not_at_relay(
        &self,
        mut show: impl FnMut(&SealedBatch) -> Result<bool, ExportError>,
    ) -> Result<(), ExportError> {
        let foreign: Vec<_> = self.spaces.iter().map(|(space, _)| *space).collect();
        let mut sent = Sent::default();
        loop {
            let (batches, exhausted) = self.store.outgoing(&sent.heights(), &foreign, PEER_GROUP_LEN)?;
            let mut moved = false;
            for batch in batches {
                moved |= sent.note(&batch);
                let header = batch.header();
                let full =
                    self.spaces.iter().find(|(space, _)| *space == header.space).map(|(_, full)| *full);
                let goes = full.is_some_and(|full| full || header.kind == BatchKind::Control);
                if goes && !show(&batch)? {
                    return Ok(());
                }
            }
            if exhausted || !moved {
                return Ok(());
            }
        }
    }

    fn each_above(
        &self,
        heights: &[(SpaceId, Height)],
        show: &mut impl FnMut(&SealedBatch) -> Result<bool, ExportError>,
    ) -> Result<(), ExportError> {
        for (space, full) in &self.spaces {
            let mut sent = Sent::default();
            heights.iter().filter(|(of, _)| of == space).for_each(|(_, height)| sent.begin(*space, *height));
            loop {
                let above: Vec<_> = sent.heights().into_iter().map(|(_, height)| height).collect();
                let (batches, exhausted) = self.store.batches_above(*space, &above, !full, PEER_GROUP_LEN)?;
                let mut moved = false;
                for batch in batches {
                    moved |= sent.note(&batch);
                    if !show(&batch)? {
                        return Ok(());
                    }
                }
                if exhausted || !moved {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// How far chains were read.
#[derive(Debug, Default)]
struct Sent(BTreeMap<(SpaceId, DeviceId, Incarnation, Lane), Height>);

impl Sent {
    fn begin(&mut self, space: SpaceId, height: Height) {
        self.0.insert((space, height.device, height.incarnation, height.lane), height);
    }

    /// Notes a batch; whether that is news.
    fn note(&mut self, batch: &SealedBatch) -> bool {
        let header = batch.header();
        let height = Height {
            device: header.device,
            incarnation: header.incarnation,
            lane: header.lane,
            seq: header.seq,
            batch: batch.id(),
        };
        let held = self.0.insert((header.space, header.device, header.incarnation, header.lane), height);
        held.is_none_or(|held| held != height)
    }

    fn heights(&self) -> Vec<(SpaceId, Height)> {
        self.0.iter().map(|((space, ..), height)| (*space, *height)).collect()
    }
}

/// Takes in every batch of a bundle for this device that is whole.
///
/// `on_progress` is called with the batches read so far and in all.
pub fn import(
    store: &Store,
    identity: &Identity,
    input: impl Read,
    cancel: &Cancel,
    mut on_progress: impl FnMut(u64, u64),
) -> Result<ImportReport, ImportError> {
    let mut reader = BundleReader::open(input, identity)?;
    let joined = store.spaces()?;
    let mut seen = HashSet::new();
    let mut group = Group::default();
    let mut report = ImportReport {
        created: Some(reader.manifest().created),
        batches_total: reader.manifest().count() as u64,
        ..ImportReport::default()
    };
    loop {
        if cancel.is_cancelled() {
            report.is_cancelled = true;
            break;
        }
        match reader.next_item() {
            Ok(Some(BundleItem::Batch(batch))) => {
                seen.insert(batch.id());
                if joined.contains(&batch.header().space) {
                    group.put(batch, store, &mut report.tally)?;
                } else {
                    report.other_spaces += 1;
                }
            }
            Ok(Some(BundleItem::Unread(id))) => {
                seen.insert(id);
                report.tally.unread += 1;
            }
            Ok(None) => break,
            Err(damage) => {
                report.damage = Some(damage);
                break;
            }
        }
        on_progress(seen.len() as u64, report.batches_total);
    }
    group.take_in(store, &mut report.tally)?;
    report.missing = missing(reader.manifest(), &seen);
    Ok(report)
}

/// Batches of one space that are taken in together.
#[derive(Debug, Default)]
struct Group {
    batches: Vec<SealedBatch>,
    len: usize,
}

impl Group {
    fn put(&mut self, batch: SealedBatch, store: &Store, sum: &mut Tally) -> Result<(), IngestError> {
        let is_other = self.batches.first().is_some_and(|first| first.header().space != batch.header().space);
        if is_other || self.len >= PEER_GROUP_LEN {
            self.take_in(store, sum)?;
        }
        self.len += batch.as_bytes().len();
        self.batches.push(batch);
        Ok(())
    }

    fn take_in(&mut self, store: &Store, sum: &mut Tally) -> Result<(), IngestError> {
        let Some(space) = self.batches.first().map(|batch| batch.header().space) else { return Ok(()) };
        let report = store.ingest_carried(space, &self.batches)?;
        sum.add(&tally(space, &report));
        *self = Self::default();
        Ok(())
    }
}
