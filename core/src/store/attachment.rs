//! Attachments on a device: their bytes, and how far each has come.
//!
//! They are in a file of their own beside the database, so a photo that cannot be read harms no record;
//! such a file is set aside and another begun. It is opened when there is something to keep in it. A
//! replica keeps none.
//!
//! The bytes of what is attached are durable before the record says so. What a record mentions is noted
//! here after each commit, and made up for when the file is opened, should that have been cut off.

mod album;
mod bring;
mod bytes;
mod moving;
mod note;
mod since;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use super::error::StoreError;
use super::lock::beside;
use super::open::set_aside;
use super::write::WriteError;
use super::{Inner, Store};
use crate::attachment::{
    AttachmentRefusal, MediaType, Mention, PrepareError, Prepared, mention_key, mentions, prepare,
    prepare_thumbnail, thumbnail,
};
use crate::id::{AttachmentHash, RecordId, SpaceId};

use album::{Album, State};

pub use since::{ChangePlace, Mentioning};

/// An attachment of a record, and where its bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attachment {
    /// Which one.
    pub hash: AttachmentHash,
    /// What it is, as the record says.
    pub media: MediaType,
    /// Its bytes, as the record says.
    pub len: u64,
    /// Where it is.
    pub state: AttachmentState,
    /// Its thumbnail, if it has one, and where that is.
    pub thumbnail: Option<(AttachmentHash, AttachmentState)>,
}

/// Where the bytes of an attachment are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachmentState {
    /// Here, and not at the relay yet.
    Local {
        /// Bytes that the relay holds, as far as was heard since the store was opened.
        sent_len: u64,
        /// Why the relay last did not take it, while that is so.
        refusal: Option<AttachmentRefusal>,
    },
    /// Here, and at the relay.
    Delivered,
    /// Not here: [`Store::fetch_attachment`] brings it.
    Remote,
    /// On its way from the relay, or waiting for a link.
    Fetching {
        /// Bytes held.
        held_len: u64,
    },
}

/// What is attached here and not at the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnsentAttachments {
    /// Attachments, thumbnails not counted.
    pub attachments: u64,
    /// Bytes, of thumbnails too, but for those that the relay holds of some.
    pub len: u64,
}

/// Something cannot be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// It cannot be kept as it is.
    #[error("attaching: the picture cannot be kept")]
    Picture(#[from] PrepareError),
    /// The thumbnail that was given cannot be kept as it is.
    #[error("attaching: the thumbnail cannot be kept")]
    Thumbnail(#[source] PrepareError),
    /// The record cannot say so.
    #[error("attaching: the record cannot be written")]
    Record(#[from] WriteError),
    /// The database, or the file beside it, failed.
    #[error("attaching: the store failed")]
    Store(#[from] StoreError),
}

/// The attachments' file, once it is needed.
#[derive(Debug, Default)]
pub(super) struct Attachments {
    album: Mutex<Option<Album>>,
    /// The records that mention something: asked with every commit, which must wait for no photo.
    mentioning: RwLock<BTreeSet<(SpaceId, RecordId)>>,
    /// There is a file, or was one when the store was opened.
    is_there: AtomicBool,
    /// Records changed since it was noted last up to where was looked for what they mention.
    unnoted: AtomicUsize,
    /// Something that a record mentions could not be noted: an opening is to look for it.
    has_missed: AtomicBool,
    /// Grows whenever there may be something else to send or to fetch.
    version: AtomicU64,
    /// Files that were damaged, since the store was opened.
    set_aside: Mutex<Vec<PathBuf>>,
}

impl Attachments {
    fn lock(&self) -> MutexGuard<'_, Option<Album>> {
        self.album.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_mentioning(&self, mentioning: BTreeSet<(SpaceId, RecordId)>) {
        *self.mentioning.write().unwrap_or_else(PoisonError::into_inner) = mentioning;
    }

    fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }
}

impl Store {
    /// Attaches a picture to a record: stripped of all that is not the picture, durable, and said by the
    /// record when this returns. Without a thumbnail one is made, if that can be done. The same again
    /// changes nothing.
    pub fn attach(
        &self,
        space: SpaceId,
        kind: &str,
        record: RecordId,
        bytes: &[u8],
        given: Option<&[u8]>,
    ) -> Result<Attachment, AttachError> {
        let picture = prepare(bytes)?;
        let small = match given {
            Some(given) => Some(prepare_thumbnail(given).map_err(AttachError::Thumbnail)?),
            None => thumbnail(&picture),
        };
        if self.get(space, kind, record)?.is_none() {
            return Err(WriteError::NotFound(record).into());
        }
        self.keep_attached(space, &picture, false)?;
        if let Some(small) = &small {
            self.keep_attached(space, small, true)?;
        }
        let mention = Mention {
            hash: picture.hash,
            media: picture.media,
            len: picture.bytes.len() as u64,
            thumbnail: small.as_ref().map(|small| (small.hash, small.bytes.len() as u64)),
        };
        let puts = [(mention_key(mention.hash), Some(mention.to_value()))].into();
        self.write(|group| group.patch(space, kind, record, puts))?;
        self.inner.attachments.changed();
        let name = |hash| (space, hash);
        // The record says so, and the bytes are durable: what fails from here on undoes nothing.
        let settled = self.inner.with_album(|album| {
            album.settle_attached(name(mention.hash))?;
            mention.thumbnail.map_or(Ok(()), |(hash, _)| album.settle_attached(name(hash)))?;
            album.attachment(space, &mention)
        });
        Ok(settled.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "what was attached is settled later");
            let state = AttachmentState::Local { sent_len: 0, refusal: None };
            let thumbnail = mention.thumbnail.map(|(hash, _)| (hash, state));
            Attachment { hash: mention.hash, media: mention.media, len: mention.len, state, thumbnail }
        }))
    }

    /// Takes an attachment off a record. Its bytes stay until they are freed: others may have it.
    pub fn detach(
        &self,
        space: SpaceId,
        kind: &str,
        record: RecordId,
        hash: AttachmentHash,
    ) -> Result<(), WriteError> {
        self.write(|group| group.patch(space, kind, record, [(mention_key(hash), None)].into()))
    }

    /// The attachments of a record, by their hashes.
    pub fn attachments(
        &self,
        space: SpaceId,
        kind: &str,
        record: RecordId,
    ) -> Result<Vec<Attachment>, StoreError> {
        let Some(record) = self.get(space, kind, record)? else { return Ok(Vec::new()) };
        let mut mentioned = mentions(&record.fields).peekable();
        if mentioned.peek().is_none() {
            return Ok(Vec::new());
        }
        let mentioned: Vec<Mention> = mentioned.collect();
        let remote = |mention: &Mention| Attachment {
            hash: mention.hash,
            media: mention.media,
            len: mention.len,
            state: AttachmentState::Remote,
            thumbnail: mention.thumbnail.map(|(hash, _)| (hash, AttachmentState::Remote)),
        };
        let held = self.inner.with_album_if_there(|album| {
            mentioned.iter().map(|mention| album.attachment(space, mention)).collect::<Result<_, _>>()
        })?;
        Ok(held.unwrap_or_else(|| mentioned.iter().map(remote).collect()))
    }

    /// All bytes of an attachment; none if they are not here, or not all yet.
    pub fn attachment_bytes(
        &self,
        space: SpaceId,
        hash: AttachmentHash,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.attachment_part(space, hash, 0, usize::MAX)
    }

    /// A part of an attachment: from an offset so many bytes at most. None if the attachment is not here,
    /// or not whole yet.
    pub fn attachment_part(
        &self,
        space: SpaceId,
        hash: AttachmentHash,
        offset: u64,
        len_max: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.inner.with_album_if_there(|album| album.part((space, hash), offset, len_max))?;
        Ok(read.flatten())
    }

    /// Wants an attachment: it comes with a link to the relay, this one or a later one.
    pub fn fetch_attachment(&self, space: SpaceId, hash: AttachmentHash) -> Result<(), StoreError> {
        let records = self.inner.with_album(|album| {
            let is_news = album.want((space, hash))?;
            if is_news { album.records_of((space, hash)) } else { Ok(Vec::new()) }
        })?;
        self.inner.attachments.changed();
        self.inner.observers.announce(records);
        Ok(())
    }

    /// Drops what is here and at the relay, but for thumbnails: what came from there, and what was
    /// attached here and is in a backup of the relay's by now. Bytes that were freed.
    pub fn free_attachments(&self, space: SpaceId) -> Result<u64, StoreError> {
        let watermark = self.watermark(space)?.unwrap_or(0);
        let freed = self.inner.with_album_if_there(|album| album.free(space, watermark))?;
        Ok(freed.unwrap_or(0))
    }

    /// What is attached here and not at the relay.
    pub fn unsent_attachments(&self) -> Result<UnsentAttachments, StoreError> {
        Ok(self.inner.with_album_if_there(|album| album.unsent())?.unwrap_or_default())
    }

    /// Files of attachments that were damaged and set aside since the store was opened.
    pub fn attachments_set_aside(&self) -> Vec<PathBuf> {
        self.inner.attachments.set_aside.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep_attached(
        &self,
        space: SpaceId,
        picture: &Prepared,
        is_thumbnail: bool,
    ) -> Result<(), StoreError> {
        self.inner.with_album(|album| album.keep((space, picture.hash), &picture.bytes, is_thumbnail))
    }
}

impl Inner {
    /// Whether this store keeps attachments: a replica does not.
    pub(super) fn keeps_attachments(&self) -> bool {
        self.config.identity.is_some() && !self.is_read_only
    }

    /// Looks whether there is a file, and makes up for what was cut off. What goes wrong with it keeps
    /// nobody from the records.
    pub(super) fn begin_attachments(&self) {
        if !self.keeps_attachments() {
            return;
        }
        let is_there = self.album_path().is_some_and(|path| path.exists());
        self.attachments.is_there.store(is_there, Ordering::Release);
        let begun = match is_there {
            true => self.with_album(|_| Ok(())),
            false => self.look_for_mentions(),
        };
        if let Err(error) = begun {
            self.attachments.has_missed.store(true, Ordering::Release);
            tracing::error!(error = &error as &dyn std::error::Error, "the attachments do not open");
        }
    }

    fn album_path(&self) -> Option<PathBuf> {
        self.config.path.as_deref().map(|path| beside(path, "-attachments"))
    }

    /// Does something with the attachments, if there were ever any.
    pub(super) fn with_album_if_there<T>(
        &self,
        work: impl FnMut(&mut Album) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if !self.attachments.is_there.load(Ordering::Acquire) {
            return Ok(None);
        }
        self.with_album(work).map(Some)
    }

    /// Does something with the attachments. Where the file turns out to be damaged it is set aside, and
    /// the same is done with a new one.
    pub(super) fn with_album<T>(
        &self,
        mut work: impl FnMut(&mut Album) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if !self.keeps_attachments() {
            return Err(StoreError::ReadOnly);
        }
        let mut album = self.attachments.lock();
        match self.open_album(&mut album).and_then(&mut work) {
            Err(error) if error.is_damage() => {
                self.set_album_aside(&mut album)?;
                self.open_album(&mut album).and_then(work)
            }
            done => done,
        }
    }

    fn open_album<'a>(&self, album: &'a mut Option<Album>) -> Result<&'a mut Album, StoreError> {
        if album.is_none() {
            let mut opened = Album::open(self.album_path().as_deref(), self.config.key.as_ref())?;
            self.attachments.set_mentioning(opened.mentioning()?);
            self.catch_up(&mut opened)?;
            self.attachments.is_there.store(true, Ordering::Release);
            *album = Some(opened);
        }
        album.as_mut().ok_or(StoreError::Unreadable("the attachments"))
    }

    fn set_album_aside(&self, album: &mut Option<Album>) -> Result<(), StoreError> {
        *album = None;
        let Some(path) = self.album_path() else { return Ok(()) };
        let kept_as = set_aside(&path).map_err(|_| StoreError::Unreadable("the attachments"))?;
        tracing::error!(kept_as = %kept_as.display(), "the attachments' file is damaged and was set aside");
        self.attachments.set_aside.lock().unwrap_or_else(PoisonError::into_inner).push(kept_as);
        self.attachments.changed();
        Ok(())
    }
}
