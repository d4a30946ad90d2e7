//! Brings back what a damaged database still holds, into a new store.
//!
//! The damaged file is only read, and SQLite never opens it: its pages are taken one by one, those
//! of its write-ahead log too. A batch proves itself by its signature and a pending change by its
//! own hash, so nothing is believed that the damage could have made up. Batches are taken in as
//! from a relay; those of our own that the relay lacks will be sent. What cannot be kept under its
//! own name is written again by value: pending changes, whose author would be the old file, and
//! our own batches behind a hole in their chain.
//!
//! Nothing is lost by doing it twice, or again after it was cut off: what is there already is
//! taken in as known, and values that are equal write nothing.

mod again;
mod carve;
mod catalogue;
mod pages;
mod plan;
mod record;
mod wal;

#[cfg(test)]
mod carve_tests;
#[cfg(test)]
mod catalogue_tests;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::ingest::{CarriedOutcome, IngestError};
use super::key::KeyError;
use super::schema::{self, Durability};
use super::{OpenError, Store, StoreConfig, StoreError, WriteError, meta, set_meta};
use crate::batch::SealedBatch;
use crate::id::{DeviceId, SpaceId};
use crate::position::OwnChain;
use catalogue::{Adds, BatchKey, Catalogue, Trust};
use pages::DamagedFile;
pub(super) use pages::read_at;
use plan::Plan;
pub(super) use record::looks_like_tree_page;

/// Names the damaged file in the table `meta` of the store into which it is being brought back.
const UNFINISHED: &str = "recovering";

/// Batches taken in in one transaction: a few megabytes at most.
const TAKEN_AT_ONCE: usize = 16;

/// What could be brought back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecoverReport {
    /// Pages looked at, in the file and in its log.
    pub pages: u64,
    /// Bytes of pages that are missing or of which not every row could be read, at least: a page
    /// that became something else altogether leaves no trace.
    pub bytes_unreadable: u64,
    /// Spaces joined again.
    pub spaces: u64,
    /// Intact batches taken in.
    pub batches: u64,
    /// Of those, this device's own that the relay has not acknowledged: they will be sent again.
    pub batches_own_unsent: u64,
    /// Intact batches left to the relay, which has them: others before them in their chain are lost.
    pub batches_left: u64,
    /// Changes and track chunks of own batches that the relay lacks and that could not stay in
    /// their chain, written again.
    pub entries_reauthored: u64,
    /// Changes and track chunks that were not sealed yet, written again.
    pub pending_reauthored: u64,
    /// Those of which a batch has the change, or of which everything was written over since.
    pub pending_skipped: u64,
    /// Changes and track chunks that are intact and that the new store refuses, or whose space is lost.
    pub failed: u64,
    /// Attachments, thumbnails too, that lay beside the damaged file under another name than the new
    /// store's. Those under its own name are there already.
    pub attachments: u64,
}

/// A damaged file could not be brought back. It is unchanged, and trying again loses nothing.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The damaged file cannot be read at all.
    #[error("recovering: the damaged file cannot be read")]
    Read(#[source] io::Error),
    /// The damaged file is not read with this key, or without one.
    #[error("recovering: the damaged file does not open")]
    Key(#[from] KeyError),
    /// The new store would be the damaged file.
    #[error("recovering: the new store is the damaged file itself")]
    IntoItself,
    /// It holds what another device recorded and did not send; only that device can.
    #[error("recovering: the file holds unsent work of the device {0}")]
    OtherDevice(DeviceId),
    /// It holds what a device recorded and did not send, and the new store has no identity.
    #[error("recovering: the file holds unsent work and the new store has no identity")]
    NoIdentity,
    /// The new store does not open.
    #[error("recovering: the new store does not open")]
    Open(#[from] OpenError),
    /// The new store could not take in a batch.
    #[error("recovering: the new store cannot take in a batch")]
    Ingest(#[from] IngestError),
    /// The new store could not record a change again.
    #[error("recovering: the new store cannot record")]
    Write(#[from] WriteError),
    /// The new store's database failed.
    #[error("recovering: the new store failed")]
    Store(#[from] StoreError),
}

impl Store {
    /// Brings back what a damaged file of this device still holds, into the store of this
    /// configuration, which is made if it is not there. The damaged file is not changed. It is read with
    /// the configuration's key, or as it is if it is not encrypted: this is how a store is encrypted
    /// that was not.
    pub fn recover(damaged: &Path, into: StoreConfig) -> Result<RecoverReport, RecoverError> {
        if into.path.as_deref().is_some_and(|path| is_same_file(damaged, path)) {
            return Err(RecoverError::IntoItself);
        }
        let own = into.identity.as_ref().map(|identity| identity.device());
        let file = DamagedFile::open(damaged, into.key.as_ref())?;
        file.check_key(into.key.as_ref())?;
        let catalogue = Catalogue::read(&file);
        // Before there is a new file.
        check_author(&catalogue, own)?;
        Self::open_even_unfinished(into)?.recover_from(damaged, &file, &catalogue)
    }

    /// The same into this store, for whoever brings back many files and wants to make no store for each.
    #[doc(hidden)]
    pub fn recover_here(&self, damaged: &Path) -> Result<RecoverReport, RecoverError> {
        let key = self.inner.config.key.as_ref();
        let file = DamagedFile::open(damaged, key)?;
        let catalogue = Catalogue::read(&file);
        check_author(&catalogue, self.device())?;
        self.recover_from(damaged, &file, &catalogue)
    }

    fn recover_from(
        &self,
        damaged: &Path,
        file: &DamagedFile,
        catalogue: &Catalogue,
    ) -> Result<RecoverReport, RecoverError> {
        let plan = plan::plan(file, catalogue, self.device());
        let mut report = RecoverReport {
            pages: catalogue.carved.pages,
            bytes_unreadable: catalogue.carved.bytes_unreadable,
            spaces: catalogue.spaces.len() as u64,
            batches_left: plan.left,
            pending_skipped: plan.pending_skipped,
            failed: catalogue.homeless,
            ..RecoverReport::default()
        };
        set_unfinished(self, Some(damaged))?;
        let brought_back = bring_back(self, file, catalogue, &plan, &mut report);
        // Whoever hears of a failure may go on with what there is, and try again.
        set_durability(self, Durability::Full)?;
        set_unfinished(self, None)?;
        brought_back?;
        report.attachments = self.bring_attachments(damaged)?;
        note_brought_back(self, damaged)?;
        tracing::info!(?report, "a damaged store was brought back");
        Ok(report)
    }
}

fn bring_back(
    store: &Store,
    file: &DamagedFile,
    catalogue: &Catalogue,
    plan: &Plan,
    report: &mut RecoverReport,
) -> Result<(), RecoverError> {
    // The damaged file is the copy meanwhile, so one wait for the disk at the end is enough.
    set_durability(store, Durability::Relaxed)?;
    for space in &catalogue.spaces {
        store.join_space(*space)?;
        take_in(store, file, catalogue, plan, *space, report)?;
    }
    write_again(store, file, catalogue, plan, report)?;
    for (name, setting) in &catalogue.settings {
        if store.setting(name)?.is_none() {
            store.save_setting(name, &setting.value)?;
        }
    }
    Ok(())
}

/// Which file is being brought back into a store. Noted in it, so that a power cut in the middle is
/// not taken for the end.
fn set_unfinished(store: &Store, damaged: Option<&Path>) -> Result<(), StoreError> {
    let Some(path) = store.path() else { return Ok(()) };
    // An app's directory may be elsewhere at the next start, so a neighbour is noted by its name.
    let name = damaged.map(|damaged| match (damaged.canonicalize(), path.canonicalize()) {
        (Ok(damaged), Ok(path)) if damaged.parent() == path.parent() => {
            damaged.file_name().map(PathBuf::from)
        }
        (Ok(damaged), _) => Some(damaged),
        _ => None,
    });
    let name = name.flatten();
    let name = name.as_deref().and_then(Path::to_str).unwrap_or_default();
    store.inner.transaction(|writing| {
        set_meta(writing.transaction, UNFINISHED, name.as_bytes()).map_err(StoreError::from)
    })
}

/// The damaged file that was being brought back into a store when that was cut off, if it is still
/// there.
pub(super) fn unfinished(store: &Store) -> Result<Option<PathBuf>, StoreError> {
    let Some(path) = store.path() else { return Ok(None) };
    let name = store.inner.read(|connection| Ok::<_, StoreError>(meta(connection, UNFINISHED)?))?;
    let name = name.filter(|name| !name.is_empty()).and_then(|name| String::from_utf8(name).ok());
    let damaged = name.map(|name| path.parent().unwrap_or(Path::new("")).join(name));
    Ok(damaged.filter(|damaged| damaged.exists()))
}

/// Damaged files lie beside the store under names that are given once.
const BROUGHT_BACK: &str = "brought_back/";

fn note_brought_back(store: &Store, damaged: &Path) -> Result<(), StoreError> {
    match damaged.file_name().and_then(|name| name.to_str()) {
        Some(name) => store.save_setting(&format!("{BROUGHT_BACK}{name}"), &[1]),
        None => Ok(()),
    }
}

/// Whether a damaged file beside a store was brought back into it.
pub fn is_brought_back(store: &Store, damaged: &Path) -> Result<bool, StoreError> {
    match damaged.file_name().and_then(|name| name.to_str()) {
        Some(name) => Ok(store.setting(&format!("{BROUGHT_BACK}{name}"))?.is_some()),
        None => Ok(false),
    }
}

fn set_durability(store: &Store, durability: Durability) -> Result<(), StoreError> {
    Ok(schema::set_durability(&store.inner.writer().connection, durability)?)
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}

/// Unsent work is its author's to send: taken in under another name, it would never leave. What is
/// sealed leaves by whoever carries it, so others' batches that the file holds say nothing.
fn check_author(catalogue: &Catalogue, own: Option<DeviceId>) -> Result<(), RecoverError> {
    let unsent = catalogue.batches.values().any(|batch| batch.acknowledged == Some(false));
    let pending = catalogue.pending.values().filter(|found| found.trust == Trust::Current);
    let of_pending = pending.map(|found| match &found.adds {
        Adds::Change { actor, .. } => catalogue.devices.get(actor).copied(),
        Adds::Track => None,
    });
    for author in of_pending.chain(unsent.then_some(catalogue.owner)) {
        match (author, own) {
            (_, None) => return Err(RecoverError::NoIdentity),
            (Some(author), Some(own)) if author != own => return Err(RecoverError::OtherDevice(author)),
            _ => {}
        }
    }
    Ok(())
}

/// Takes in a space's batches, and notes which of ours the relay still has to get.
fn take_in(
    store: &Store,
    file: &DamagedFile,
    catalogue: &Catalogue,
    plan: &Plan,
    space: SpaceId,
    report: &mut RecoverReport,
) -> Result<(), RecoverError> {
    let keys: Vec<_> = plan.take_in.iter().filter(|key| key.space == space).collect();
    let is_carried = |key: &BatchKey| {
        let acknowledged = catalogue.batches.get(key).and_then(|batch| batch.acknowledged);
        Some(key.device) != store.device() && acknowledged == Some(false)
    };
    for alike in keys.chunk_by(|one, other| is_carried(one) == is_carried(other)) {
        for keys in alike.chunks(TAKEN_AT_ONCE) {
            let read = keys.iter().filter_map(|key| {
                // One of our own has no offset until the relay says so; it will, and then it is noted.
                let offset = catalogue.batches.get(key)?.log_offset.unwrap_or(0);
                Some((offset, plan::read_batch(file, catalogue, key)?))
            });
            let batches = read.collect();
            if keys.first().is_some_and(|key| is_carried(key)) {
                take_in_carried(store, space, batches, report)?;
            } else {
                take_in_logged(store, space, batches, report)?;
            }
        }
    }
    let heights = own_heights(store, catalogue, plan, space)?;
    report.batches_own_unsent += heights.unsent;
    Ok(store.relay_heights(space, &heights.at_relay)?)
}

/// Takes in what a log had, and what this device sealed itself.
fn take_in_logged(
    store: &Store,
    space: SpaceId,
    mut batches: Vec<(u64, SealedBatch)>,
    report: &mut RecoverReport,
) -> Result<(), RecoverError> {
    while !batches.is_empty() {
        let (taken, stopped_at) = match store.ingest(space, &batches, None) {
            Ok(taken) => (taken, batches.len()),
            Err(IngestError::Stopped { stopped, report: taken, .. }) => {
                let at = batches.iter().position(|(_, batch)| batch.id() == stopped.batch);
                (*taken, at.unwrap_or(batches.len()))
            }
            Err(error) => return Err(error.into()),
        };
        report.batches += u64::from(taken.taken + taken.held + taken.waiting);
        report.batches_left += u64::from(taken.refused) + u64::from(stopped_at < batches.len());
        batches.drain(..batches.len().min(stopped_at + 1));
    }
    Ok(())
}

/// Takes in what others wrote and no relay is known to have: it is carried on as before.
fn take_in_carried(
    store: &Store,
    space: SpaceId,
    batches: Vec<(u64, SealedBatch)>,
    report: &mut RecoverReport,
) -> Result<(), RecoverError> {
    let batches: Vec<_> = batches.into_iter().map(|(_, batch)| batch).collect();
    for outcome in store.ingest_carried(space, &batches)?.outcomes {
        match outcome {
            CarriedOutcome::Taken
            | CarriedOutcome::Held
            | CarriedOutcome::Waiting
            | CarriedOutcome::Quarantined(_) => report.batches += 1,
            CarriedOutcome::Refused(_) | CarriedOutcome::Missing | CarriedOutcome::RolledBack => {
                report.batches_left += 1;
            }
        }
    }
    Ok(())
}

struct OwnHeights {
    at_relay: Vec<OwnChain>,
    unsent: u64,
}

/// What the relay is known to hold of our chains in a space. One batch that it acknowledged stands
/// for all before it.
fn own_heights(
    store: &Store,
    catalogue: &Catalogue,
    plan: &Plan,
    space: SpaceId,
) -> Result<OwnHeights, RecoverError> {
    let positions = store.positions()?.into_iter().find(|position| position.space == space);
    let of_this_file = |chain: &OwnChain| chain.incarnation == store.incarnation();
    let mut at_relay: Vec<_> =
        positions.into_iter().flat_map(|position| position.own).filter(of_this_file).collect();
    let own = plan.take_in.iter().filter(|key| key.space == space && Some(key.device) == store.device());
    let mut unsent = 0;
    let mut chain = None;
    for key in own.rev() {
        let next = (key.incarnation, key.lane);
        if chain == Some(next) {
            continue;
        }
        match catalogue.batches.get(key).and_then(|batch| batch.acknowledged) {
            Some(true) => {
                let BatchKey { incarnation, lane, seq, id, .. } = *key;
                at_relay.push(OwnChain { incarnation, lane, seq, batch: id });
                chain = Some(next);
            }
            _ => unsent += 1,
        }
    }
    Ok(OwnHeights { at_relay, unsent })
}

/// Writes again what cannot stay under its old name.
fn write_again(
    store: &Store,
    file: &DamagedFile,
    catalogue: &Catalogue,
    plan: &Plan,
    report: &mut RecoverReport,
) -> Result<(), RecoverError> {
    for key in &plan.write_again {
        for write in again::of_batch(file, catalogue, key) {
            let counts = again::write(store, &write)?;
            report.entries_reauthored += counts.written;
            report.failed += counts.failed;
        }
    }
    let mut rest = plan.pending.as_slice();
    while let Some(rows) = again::next_write(catalogue, &mut rest) {
        let write: Vec<_> =
            rows.iter().filter_map(|found| again::of_pending(file, &plan.newest, found)).collect();
        let counts = again::write(store, &write)?;
        report.pending_reauthored += counts.written;
        report.pending_skipped += (rows.len() - write.len()) as u64;
        report.failed += counts.failed;
    }
    Ok(())
}

/// Whether commits lie in the write-ahead log behind a broken frame, where SQLite does not look:
/// opening the database would lose them without a word. True only of a log of which every commit
/// was on the disk before the next began.
pub(super) fn log_hides_commits(path: &Path) -> io::Result<bool> {
    let log = match fs::File::open(pages::log_beside(path)) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match wal::stated_page_len(&log) {
        Some(page_len) => Ok(wal::Wal::read(log, page_len)?.hides_commits()),
        None => Ok(false),
    }
}
