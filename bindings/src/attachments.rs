//! Pictures of records.

use std::sync::Arc;

use barid_core::attachment::PrepareError;
use barid_core::id::{AttachmentHash, SpaceId};
use barid_core::protocol::AttachmentRefusal;
use barid_core::store::{self, AttachError};

use crate::error::{BaridError, why};
use crate::opened::Opened;
use crate::records::{RecordKey, parse, parts};

/// A picture that belongs to a record, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Record)]
pub struct Attachment {
    /// The space of its record.
    pub space: String,
    /// The hash of its bytes (BLAKE3).
    pub hash: String,
    /// Its type, as `image/jpeg`.
    pub media: String,
    /// Its bytes.
    pub len: u64,
    /// Where it is.
    pub whereabouts: Whereabouts,
    /// The hash of its thumbnail, if it has one.
    pub thumbnail: Option<String>,
    /// Whether the thumbnail is here.
    pub has_thumbnail: bool,
}

/// Where an attachment is.
#[derive(Debug, Clone, PartialEq, Eq, uniffi::Enum)]
pub enum Whereabouts {
    /// Here, and not whole with the relay.
    Local {
        /// Bytes that the relay has.
        sent_len: u64,
        /// Why the relay does not take it, while that is so: `too_large`, `not_permitted`, `full`,
        /// `harmed`, `not_now`.
        refusal: Option<String>,
    },
    /// Here, and with the relay.
    Delivered,
    /// Not here.
    Remote,
    /// On its way here.
    Fetching {
        /// Bytes that are here.
        held_len: u64,
    },
}

/// The attachments of one store.
#[derive(Debug, uniffi::Object)]
pub struct Attachments {
    opened: Arc<Opened>,
}

impl Attachments {
    pub(crate) fn new(opened: Arc<Opened>) -> Self {
        Self { opened }
    }
}

#[uniffi::export]
impl Attachments {
    /// Attaches a picture to a record, stripped of what it says beside the picture. It is durable when
    /// this returns. Without a thumbnail one is made.
    #[uniffi::method(default(thumbnail = None))]
    pub fn attach(
        &self,
        key: RecordKey,
        bytes: Vec<u8>,
        thumbnail: Option<Vec<u8>>,
    ) -> Result<Attachment, BaridError> {
        let (space, id) = parts(&key)?;
        let device = self.opened.device()?;
        let attached = device.store().attach(space, &key.kind, id, &bytes, thumbnail.as_deref())?;
        Ok(in_space(space, attached))
    }

    /// Takes an attachment off its record.
    pub fn detach(&self, key: RecordKey, hash: String) -> Result<(), BaridError> {
        let (space, id) = parts(&key)?;
        let hash: AttachmentHash = parse(&hash)?;
        Ok(self.opened.device()?.store().detach(space, &key.kind, id, hash)?)
    }

    /// The attachments of a record, by hash.
    pub fn of(&self, key: RecordKey) -> Result<Vec<Attachment>, BaridError> {
        let (space, id) = parts(&key)?;
        let found = self.opened.device()?.shown()?.attachments(space, &key.kind, id)?;
        Ok(found.into_iter().map(|attachment| in_space(space, attachment)).collect())
    }

    /// The bytes of an attachment or thumbnail; nothing if they are not here.
    pub fn bytes(&self, space: String, hash: String) -> Result<Option<Vec<u8>>, BaridError> {
        let (space, hash) = (parse::<SpaceId>(&space)?, parse::<AttachmentHash>(&hash)?);
        Ok(self.opened.device()?.shown()?.attachment_bytes(space, hash)?)
    }

    /// Gets an attachment as soon as there is a link.
    pub fn fetch(&self, space: String, hash: String) -> Result<(), BaridError> {
        let (space, hash) = (parse::<SpaceId>(&space)?, parse::<AttachmentHash>(&hash)?);
        Ok(self.opened.device()?.store().fetch_attachment(space, hash)?)
    }

    /// Drops originals that the relay has a backup of, and says how many bytes that freed.
    pub fn free(&self) -> Result<u64, BaridError> {
        let device = self.opened.device()?;
        let mut freed = 0;
        for space in device.store().spaces()? {
            freed += device.store().free_attachments(space)?;
        }
        Ok(freed)
    }
}

fn in_space(space: SpaceId, attachment: store::Attachment) -> Attachment {
    let store::Attachment { hash, media, len, state, thumbnail } = attachment;
    Attachment {
        space: space.to_string(),
        hash: hash.to_string(),
        media: media.as_str().to_owned(),
        len,
        whereabouts: state.into(),
        thumbnail: thumbnail.map(|(hash, _)| hash.to_string()),
        has_thumbnail: thumbnail.is_some_and(|(_, state)| {
            matches!(state, store::AttachmentState::Local { .. } | store::AttachmentState::Delivered)
        }),
    }
}

impl From<store::AttachmentState> for Whereabouts {
    fn from(state: store::AttachmentState) -> Self {
        match state {
            store::AttachmentState::Local { sent_len, refusal } => {
                Self::Local { sent_len, refusal: refusal.map(|refusal| word(refusal).to_owned()) }
            }
            store::AttachmentState::Delivered => Self::Delivered,
            store::AttachmentState::Remote => Self::Remote,
            store::AttachmentState::Fetching { held_len } => Self::Fetching { held_len },
        }
    }
}

fn word(refusal: AttachmentRefusal) -> &'static str {
    match refusal {
        AttachmentRefusal::TooLarge => "too_large",
        AttachmentRefusal::NotPermitted => "not_permitted",
        AttachmentRefusal::Full => "full",
        AttachmentRefusal::Harmed => "harmed",
        AttachmentRefusal::NotNow => "not_now",
    }
}

impl From<AttachError> for BaridError {
    fn from(error: AttachError) -> Self {
        let text = why(&error);
        match error {
            AttachError::Picture(PrepareError::TooLarge { .. })
            | AttachError::Thumbnail(PrepareError::TooLarge { .. }) => Self::TooLarge { why: text },
            AttachError::Picture(_) | AttachError::Thumbnail(_) => Self::UnsupportedPicture { why: text },
            AttachError::Record(error) => error.into(),
            AttachError::Store(error) => error.into(),
        }
    }
}
