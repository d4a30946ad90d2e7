//! Reading a bundle, message by message, as far as it holds.

use std::fmt;
use std::io::{self, Read};

use super::{BundleError, HEAD_LEN, ITEM_BATCH, ITEM_END, MAGIC, Manifest, VERSION, hint};
use crate::batch::{SealedBatch, unread_id};
use crate::id::BatchId;
use crate::identity::Identity;
use crate::limits::{BUNDLE_MANIFEST_LEN_MAX, FRAME_LEN_MAX};
use crate::noise::{Channel, open_one_way};

/// What comes next in a bundle.
#[allow(clippy::large_enum_variant, reason = "there is one at a time, and nearly always a batch")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleItem {
    /// A batch: its structure was checked, neither its signature nor its body.
    Batch(SealedBatch),
    /// A batch that only a newer version of the program can read.
    Unread(BatchId),
}

/// Reads one bundle.
pub struct BundleReader<R> {
    input: Counted<R>,
    channel: Channel,
    manifest: Manifest,
    is_over: bool,
}

impl<R> fmt::Debug for BundleReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleReader").field("offset", &self.input.offset).finish_non_exhaustive()
    }
}

/// Knows how far it has read.
struct Counted<R> {
    input: R,
    offset: u64,
}

impl<R: Read> Counted<R> {
    /// Fills all of it, or says that the file ends.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BundleError> {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.input.read(&mut bytes[filled..]) {
                Ok(0) => return Err(BundleError::Torn { offset: self.offset }),
                Ok(len) => {
                    filled += len;
                    self.offset += len as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(BundleError::Read { offset: self.offset, source }),
            }
        }
        Ok(())
    }

    /// One Noise message, and where it begins.
    fn message(&mut self) -> Result<(Vec<u8>, u64), BundleError> {
        let begin = self.offset;
        let mut len = [0; 2];
        self.fill(&mut len)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
        self.fill(&mut message)?;
        Ok((message, begin))
    }
}

impl<R: Read> BundleReader<R> {
    /// Reads what comes before the batches.
    pub fn open(input: R, identity: &Identity) -> Result<Self, BundleError> {
        let mut input = Counted { input, offset: 0 };
        let mut head = [0; HEAD_LEN];
        let filled = input.fill(&mut head);
        let is_begun = head.starts_with(&MAGIC[..(input.offset as usize).min(MAGIC.len())]);
        if input.offset == 0 || !is_begun {
            return Err(filled.err().filter(is_read_error).unwrap_or(BundleError::NotABundle));
        }
        if input.offset > MAGIC.len() as u64 && head[8] != VERSION {
            return Err(BundleError::Version(head[8]));
        }
        filled?;
        let nonce = head[9..17].try_into().expect("a nonce has 8 bytes");
        if head[17..] != hint(identity.device(), nonce) {
            return Err(BundleError::ForAnother);
        }
        let (message, begin) = input.message()?;
        let damaged = BundleError::Damaged { offset: begin };
        let Ok((mut channel, mut said)) = open_one_way(identity, &head, &message, BUNDLE_MANIFEST_LEN_MAX)
        else {
            return Err(damaged);
        };
        while said.is_none() {
            let (message, begin) = input.message()?;
            said = channel.open(&message).map_err(|_| BundleError::Damaged { offset: begin })?;
        }
        let manifest = Manifest::from_bytes(&said.unwrap_or_default()).map_err(|_| damaged)?;
        channel.set_len_max(FRAME_LEN_MAX);
        Ok(Self { input, channel, manifest, is_over: false })
    }

    /// What the bundle should hold.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The next batch; `None` at the bundle's own end. After that, and after an error, there is none.
    pub fn next_item(&mut self) -> Result<Option<BundleItem>, BundleError> {
        if self.is_over {
            return Ok(None);
        }
        let item = self.read_item();
        self.is_over = !matches!(item, Ok(Some(_)));
        item
    }

    fn read_item(&mut self) -> Result<Option<BundleItem>, BundleError> {
        loop {
            let (message, begin) = self.input.message()?;
            let damaged = || BundleError::Damaged { offset: begin };
            let Some(said) = self.channel.open(&message).map_err(|_| damaged())? else { continue };
            return match said.split_first() {
                Some((&ITEM_BATCH, bytes)) => match SealedBatch::parse(bytes) {
                    Ok(batch) => Ok(Some(BundleItem::Batch(batch))),
                    Err(error) if error.keeps_unread() => {
                        unread_id(bytes).map(|id| Some(BundleItem::Unread(id))).ok_or_else(damaged)
                    }
                    Err(_) => Err(damaged()),
                },
                Some((&ITEM_END, [])) => self.check_end(),
                _ => Err(damaged()),
            };
        }
    }

    /// Nothing follows the end.
    fn check_end(&mut self) -> Result<Option<BundleItem>, BundleError> {
        let offset = self.input.offset;
        match self.input.fill(&mut [0]) {
            Err(BundleError::Torn { .. }) => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Err(BundleError::Damaged { offset }),
        }
    }
}

fn is_read_error(error: &BundleError) -> bool {
    matches!(error, BundleError::Read { .. })
}
