//! The attachments of this relay: who may send how much, what is held, what is lacking.
//!
//! [`crate::blob`] keeps the bytes, and what is known beside them lies in `attachments.db`. Nothing here
//! delays a record: the disk is used by a few threads that records do not need, what waits for them is
//! bounded, and what does not fit is refused with a reason. Attachments end before the disk does, so
//! that records still find room.

mod index;
pub mod keeper;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use barid_core::clock::Clock;
use barid_core::id::{AttachmentHash, DeviceId, RecordId, SpaceId};
use barid_core::limits::ATTACHMENT_UNTAKEN_LEN_MAX;
use barid_core::protocol::AttachmentRefusal;
use tokio::sync::{Semaphore, broadcast, watch};

use crate::blob::file::FileBlobs;
use crate::blob::{BlobError, BlobId, Blobs, PartId, Piece, Put};
use crate::config::Config;
use crate::data_dir::DataDir;
use index::{HeldRow, Index, RecordName};

pub use index::{OpenIndexError, SCHEMA_STEPS};

/// Threads that write attachments at the same time, at most, and as many that read them.
const DISK_THREADS_MAX: usize = 4;
/// Bytes of pieces of all links together that wait to be written, at most.
const WAITING_LEN_MAX: usize = 64 * 1024 * 1024;
/// Bytes of pieces of one link that wait to be written, at most: some more than its session hands on.
const LINK_WAITING_LEN_MAX: usize = 2 * ATTACHMENT_UNTAKEN_LEN_MAX;
/// Attachments that one device may have begun and not finished in a space, at most.
const PARTS_MAX: usize = 64;
/// How long what a device began to send is kept for it to go on: a patrol's time without a network.
const PART_IDLE_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Attachments that came and that a link has not heard of yet, at most; of more, it looks for itself.
const CAME_MAX: usize = 256;

/// How much may be held.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one attachment.
    pub len_max: u64,
    /// Bytes of a space.
    pub space_len_max: u64,
    /// Bytes that one device has sent into all spaces.
    pub device_len_max: u64,
    /// Bytes that stay free on the disk, for records.
    pub spare_len_min: u64,
}

impl Limits {
    /// As the settings say.
    pub fn of(config: &Config) -> Self {
        let mebibytes = |count: u64| count.saturating_mul(1024 * 1024);
        Self {
            len_max: mebibytes(config.attachment_mebibytes_max),
            space_len_max: mebibytes(config.attachments_space_mebibytes_max),
            device_len_max: mebibytes(config.attachments_device_mebibytes_max),
            spare_len_min: mebibytes(config.attachments_spare_mebibytes_min),
        }
    }
}

/// So many bytes are held: all of them, checked and durable, if it is the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Bytes.
    pub len: u64,
    /// Whether that is the whole.
    pub is_whole: bool,
}

/// The attachments of one relay; clones share them.
#[derive(Debug, Clone)]
pub struct Attachments(Arc<Shared>);

struct Shared {
    blobs: Arc<dyn Blobs>,
    index: Index,
    limits: Limits,
    /// Where the room on the disk is asked for; nowhere in tests.
    disk: Option<PathBuf>,
    used: Mutex<Used>,
    writing: Arc<Semaphore>,
    reading: Arc<Semaphore>,
    waiting_len: AtomicUsize,
    /// Grows when it is worth asking devices again for what is lacking.
    asks: watch::Sender<u64>,
    came: broadcast::Sender<BlobId>,
    clock: Clock,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachments").field("blobs", &self.blobs).finish_non_exhaustive()
    }
}

/// How much is held, counted.
#[derive(Debug, Default)]
struct Used {
    spaces: BTreeMap<SpaceId, u64>,
    devices: BTreeMap<DeviceId, u64>,
    /// What is arriving: bytes, and when it last grew, as a number that only rises.
    parts: BTreeMap<PartId, (u64, u64)>,
    time: u64,
}

impl Used {
    fn add(&mut self, space: SpaceId, device: Option<DeviceId>, len: u64) {
        let sums =
            [Some(self.spaces.entry(space).or_default()), device.map(|d| self.devices.entry(d).or_default())];
        sums.into_iter().flatten().for_each(|sum| *sum = sum.saturating_add(len));
    }

    fn subtract(&mut self, space: SpaceId, device: Option<DeviceId>, len: u64) {
        let sums = [self.spaces.get_mut(&space), device.and_then(|device| self.devices.get_mut(&device))];
        sums.into_iter().flatten().for_each(|sum| *sum = sum.saturating_sub(len));
    }

    fn set_part(&mut self, part: PartId, len: u64) {
        self.forget_part(part);
        self.time += 1;
        self.parts.insert(part, (len, self.time));
        self.add(part.blob.space, Some(part.device), len);
    }

    fn forget_part(&mut self, part: PartId) {
        if let Some((len, _)) = self.parts.remove(&part) {
            self.subtract(part.blob.space, Some(part.device), len);
        }
    }

    fn has_room(&self, part: PartId, more: u64, limits: &Limits) -> bool {
        let fits = |used: Option<&u64>, max| used.copied().unwrap_or(0).saturating_add(more) <= max;
        fits(self.spaces.get(&part.blob.space), limits.space_len_max)
            && fits(self.devices.get(&part.device), limits.device_len_max)
    }

    /// What a device began longest ago in a space, if it may not begin another besides.
    fn too_many(&self, part: PartId) -> Option<PartId> {
        if self.parts.contains_key(&part) {
            return None;
        }
        let begun = self
            .parts
            .iter()
            .filter(|(other, _)| other.device == part.device && other.blob.space == part.blob.space);
        let begun: Vec<_> = begun.collect();
        let oldest = begun.iter().min_by_key(|(_, (_, time))| *time).map(|(oldest, _)| **oldest);
        oldest.filter(|_| begun.len() >= PARTS_MAX)
    }
}

impl Attachments {
    /// Opens what lies in a data directory, and compares what is known with what is there.
    pub fn open(data: &DataDir, limits: Limits, clock: Clock) -> Result<Self, OpenIndexError> {
        let blobs = Arc::new(FileBlobs::new(data.attachments()));
        let index = Index::open(&data.attachments_db())?;
        Self::with(blobs, index, limits, Some(data.root()), clock)
    }

    fn with(
        blobs: Arc<dyn Blobs>,
        index: Index,
        limits: Limits,
        disk: Option<&Path>,
        clock: Clock,
    ) -> Result<Self, OpenIndexError> {
        let shared = Shared {
            blobs,
            index,
            limits,
            disk: disk.map(Path::to_owned),
            used: Mutex::default(),
            writing: Arc::new(Semaphore::new(DISK_THREADS_MAX)),
            reading: Arc::new(Semaphore::new(DISK_THREADS_MAX)),
            waiting_len: AtomicUsize::new(0),
            asks: watch::Sender::new(0),
            came: broadcast::Sender::new(CAME_MAX),
            clock,
        };
        shared.take_stock()?;
        Ok(Self(Arc::new(shared)))
    }

    /// The place of a piece among those that wait to be written, counted in `link` for its link; none if
    /// there are too many.
    pub fn wait(&self, link: &Arc<AtomicUsize>, len: usize) -> Option<Waiting> {
        let waiting = Waiting { attachments: self.clone(), link: link.clone(), len };
        let of_all = self.0.waiting_len.fetch_add(len, Ordering::SeqCst).saturating_add(len);
        let of_link = link.fetch_add(len, Ordering::SeqCst).saturating_add(len);
        (of_all <= WAITING_LEN_MAX && of_link <= LINK_WAITING_LEN_MAX).then_some(waiting)
    }

    /// A device offers an attachment of this length: what of it is held already.
    pub async fn offered(&self, part: PartId, len: u64) -> Result<Held, AttachmentRefusal> {
        if len == 0 || len > self.0.limits.len_max {
            return Err(AttachmentRefusal::TooLarge);
        }
        self.write(move |shared| shared.offered(part, len)).await
    }

    /// A piece of an attachment that this device offered with this length.
    pub async fn piece(
        &self,
        part: PartId,
        len: u64,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<Held, AttachmentRefusal> {
        self.write(move |shared| shared.piece(part, len, offset, &bytes)).await
    }

    /// Some bytes of an attachment; none if it is not held.
    pub async fn read(&self, blob: BlobId, offset: u64, len_max: usize) -> Result<Option<Piece>, BlobError> {
        let permit = self.0.reading.clone().acquire_owned().await;
        let shared = self.0.clone();
        let read = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            shared.blobs.read(blob, offset, len_max)
        });
        read.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }

    /// Which of these a space holds.
    pub async fn held(
        &self,
        space: SpaceId,
        hashes: Vec<AttachmentHash>,
    ) -> Result<BTreeSet<AttachmentHash>, BlobError> {
        let permit = self.0.reading.clone().acquire_owned().await;
        let shared = self.0.clone();
        let look = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let is_held = |hash: &AttachmentHash| shared.blobs.whole(BlobId { space, hash: *hash });
            hashes.into_iter().filter_map(|hash| Some(is_held(&hash).transpose()?.map(|_| hash))).collect()
        });
        look.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }

    /// What records of a space name and is not held: at most so many, each time from another place on.
    pub async fn lacking(&self, space: SpaceId, count_max: usize) -> Vec<AttachmentHash> {
        let from = AttachmentHash::from_bytes(crate::secret::random());
        let shared = self.0.clone();
        let asked = tokio::task::spawn_blocking(move || shared.index.lacking(space, from, count_max)).await;
        match asked {
            Ok(Ok(lacking)) => lacking,
            Ok(Err(error)) => {
                tracing::error!(error = &error as &dyn std::error::Error, "what is lacking is not known");
                Vec::new()
            }
            Err(_) => Vec::new(),
        }
    }

    /// Changes when it is worth asking devices again for what is lacking.
    pub fn asks(&self) -> watch::Receiver<u64> {
        self.0.asks.subscribe()
    }

    /// Every attachment that comes, from now on.
    pub fn came(&self) -> broadcast::Receiver<BlobId> {
        self.0.came.subscribe()
    }

    /// Which records name an attachment: their kinds and ids.
    pub async fn mentioned_by(&self, blob: BlobId) -> Vec<(String, RecordId)> {
        let shared = self.0.clone();
        let asked = tokio::task::spawn_blocking(move || shared.index.mentioned_by(blob)).await;
        asked.ok().and_then(Result::ok).unwrap_or_default()
    }

    async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Shared) -> Result<T, AttachmentRefusal> + Send + 'static,
    ) -> Result<T, AttachmentRefusal> {
        let permit = self.0.writing.clone().acquire_owned().await;
        let shared = self.0.clone();
        let written = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            write(&shared)
        });
        written.await.unwrap_or(Err(AttachmentRefusal::NotNow))
    }
}

/// A piece that waits to be written; gives its place back when it is dropped.
#[derive(Debug)]
pub struct Waiting {
    attachments: Attachments,
    link: Arc<AtomicUsize>,
    len: usize,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.attachments.0.waiting_len.fetch_sub(self.len, Ordering::SeqCst);
        self.link.fetch_sub(self.len, Ordering::SeqCst);
    }
}

impl Shared {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares the index with the files, which are right, and counts anew.
    fn take_stock(&self) -> Result<(), rusqlite::Error> {
        let (Ok(files), Ok(parts)) = (self.blobs.list(), self.blobs.sweep(PART_IDLE_MAX)) else {
            tracing::error!("the attachments cannot be read: what is known of them is believed");
            return self.count(self.index.held()?, Vec::new());
        };
        let files: BTreeMap<BlobId, u64> = files.into_iter().collect();
        for row in self.index.held()?.into_iter().filter(|row| files.get(&row.blob) != Some(&row.len)) {
            // It may have come since.
            if self.blobs.whole(row.blob).is_ok_and(|len| len != Some(row.len)) {
                self.index.remove_held(row.blob)?;
            }
        }
        let known: BTreeSet<BlobId> = self.index.held()?.into_iter().map(|row| row.blob).collect();
        for (blob, len) in files.into_iter().filter(|(blob, _)| !known.contains(blob)) {
            self.index.add_held(HeldRow { blob, len, device: None }, (self.clock)())?;
        }
        let is_part = |(part, _): &(PartId, u64)| self.blobs.whole(part.blob).is_ok_and(|len| len.is_none());
        self.count(self.index.held()?, parts.into_iter().filter(is_part).collect())
    }

    fn count(&self, held: Vec<HeldRow>, parts: Vec<(PartId, u64)>) -> Result<(), rusqlite::Error> {
        let mut used = Used::default();
        held.iter().for_each(|row| used.add(row.blob.space, row.device, row.len));
        parts.into_iter().for_each(|(part, len)| used.set_part(part, len));
        *self.used() = used;
        Ok(())
    }

    /// Counts anew what is held, after some of it was removed.
    fn recount(&self) {
        if let Err(error) = self.take_stock() {
            tracing::error!(error = &error as &dyn std::error::Error, "attachments.db cannot be used");
        }
    }

    fn offered(&self, part: PartId, len: u64) -> Result<Held, AttachmentRefusal> {
        if self.index.is_erased(part.blob).map_err(|error| unknown(&error))? {
            return Err(AttachmentRefusal::NotPermitted);
        }
        if let Some(len) = self.blobs.whole(part.blob).map_err(refusal)? {
            self.became_whole(part, len)?;
            return Ok(Held { len, is_whole: true });
        }
        let held = self.blobs.part(part, len).map_err(refusal)?;
        if held >= len {
            // It had every byte when the relay was killed, and was not looked at yet.
            return self.piece(part, len, len, &[]);
        }
        self.room_for(part, len - held)?;
        Ok(Held { len: held, is_whole: false })
    }

    fn piece(&self, part: PartId, len: u64, offset: u64, bytes: &[u8]) -> Result<Held, AttachmentRefusal> {
        self.room_for(part, bytes.len() as u64)?;
        let oldest = self.used().too_many(part);
        if let Some(oldest) = oldest {
            self.give_up(oldest);
        }
        match self.blobs.put(part, len, offset, bytes) {
            Ok(Put::Held(held)) => {
                self.used().set_part(part, held);
                Ok(Held { len: held, is_whole: false })
            }
            Ok(Put::Whole) => {
                let len = self.blobs.whole(part.blob).map_err(refusal)?.unwrap_or(len);
                self.became_whole(part, len)?;
                Ok(Held { len, is_whole: true })
            }
            Ok(Put::Mismatch) => {
                tracing::warn!(device = %part.device, "an attachment has not the hash it was offered with");
                self.used().forget_part(part);
                Err(AttachmentRefusal::Harmed)
            }
            Err(error) => Err(refusal(error)),
        }
    }

    fn became_whole(&self, part: PartId, len: u64) -> Result<(), AttachmentRefusal> {
        let row = HeldRow { blob: part.blob, len, device: Some(part.device) };
        let is_new = self.index.add_held(row, (self.clock)()).map_err(|error| unknown(&error))?;
        let mut used = self.used();
        used.forget_part(part);
        if is_new {
            used.add(part.blob.space, Some(part.device), len);
            // Nobody may be linked.
            self.came.send(part.blob).ok();
        }
        Ok(())
    }

    /// What a device began longest ago makes room for what it begins now.
    fn give_up(&self, part: PartId) {
        // Another length was announced, if the file is not there: the sweep finds it.
        if let Err(error) = self.blobs.give_up(part) {
            tracing::warn!(error = &error as &dyn std::error::Error, "an old part of an attachment stays");
        }
        self.used().forget_part(part);
    }

    fn room_for(&self, part: PartId, len: u64) -> Result<(), AttachmentRefusal> {
        if !self.used().has_room(part, len, &self.limits) {
            return Err(AttachmentRefusal::Full);
        }
        let free = self.disk.as_deref().and_then(free_len);
        match free {
            Some(free) if free < self.limits.spare_len_min.saturating_add(len) => {
                tracing::warn!(free, "no attachment is taken: what is free on the disk is for records");
                Err(AttachmentRefusal::Full)
            }
            _ => Ok(()),
        }
    }

    /// Removes an attachment for good.
    fn remove(&self, blob: BlobId) -> Result<(), BlobError> {
        self.blobs.remove(blob)?;
        if let Err(error) = self.index.remove_held(blob) {
            tracing::error!(error = &error as &dyn std::error::Error, "attachments.db cannot be written");
        }
        Ok(())
    }
}

/// What an erased record named could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// What is known of the attachments cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenIndexError),
    /// It cannot be read or written.
    #[error("using attachments.db")]
    Index(#[from] rusqlite::Error),
    /// A file cannot be removed.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// Removes what only an erased record named, as far as that is known, beside a relay or without one.
/// Returns how many attachments that were.
pub fn forget(data: &DataDir, space: SpaceId, kind: &str, record: RecordId) -> Result<usize, ForgetError> {
    if !data.attachments_db().exists() {
        return Ok(0);
    }
    let (index, blobs) = (Index::open(&data.attachments_db())?, FileBlobs::new(data.attachments()));
    let gone = index.erase(RecordName { space, kind, record })?;
    for blob in &gone {
        blobs.remove(*blob)?;
        index.remove_held(*blob)?;
    }
    Ok(gone.len())
}

fn refusal(error: BlobError) -> AttachmentRefusal {
    tracing::error!(error = &error as &dyn std::error::Error, "an attachment could not be stored");
    match error {
        BlobError::Full(_) => AttachmentRefusal::Full,
        BlobError::Io(_) => AttachmentRefusal::NotNow,
    }
}

fn unknown(error: &rusqlite::Error) -> AttachmentRefusal {
    tracing::error!(error = error as &dyn std::error::Error, "attachments.db cannot be used");
    AttachmentRefusal::NotNow
}

/// Bytes that are free on the disk of a folder, if the system says so.
#[cfg(unix)]
fn free_len(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_len(_: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
