//! Writing a bundle, message by message.

use std::fmt;
use std::io::{self, Write};

use super::{BundleWriteError, ITEM_BATCH, ITEM_END, Manifest, head};
use crate::batch::SealedBatch;
use crate::id::DeviceId;
use crate::identity::agreement_key;
use crate::limits::{BUNDLE_BATCHES_MAX, BUNDLE_MANIFEST_LEN_MAX, FRAME_LEN_MAX};
use crate::noise::{Channel, begin_one_way};

/// Writes one bundle.
pub struct BundleWriter<W> {
    out: W,
    channel: Channel,
}

impl<W> fmt::Debug for BundleWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BundleWriter")
    }
}

impl<W: Write> BundleWriter<W> {
    /// Begins a bundle for a recipient: everything that the manifest names must follow. `random` must
    /// be just that, and never used again.
    pub fn begin(
        out: W,
        recipient: DeviceId,
        manifest: &Manifest,
        random: [u8; 40],
    ) -> Result<Self, BundleWriteError> {
        let count = manifest.count();
        if count > BUNDLE_BATCHES_MAX {
            return Err(BundleWriteError::TooMany(count));
        }
        Self::begin_with(out, recipient, &manifest.to_bytes(), random)
    }

    /// The same with any bytes as the manifest, for whoever tests what readers make of them.
    #[doc(hidden)]
    pub fn begin_with(
        mut out: W,
        recipient: DeviceId,
        manifest: &[u8],
        random: [u8; 40],
    ) -> Result<Self, BundleWriteError> {
        agreement_key(recipient)?;
        let (nonce, ephemeral) = random.split_first_chunk().expect("it is longer than a nonce");
        let ephemeral = ephemeral.try_into().expect("a key has the other 32 bytes");
        let head = head(recipient, *nonce);
        let (messages, channel) =
            begin_one_way(recipient, &head, ephemeral, manifest, BUNDLE_MANIFEST_LEN_MAX)
                .map_err(|_| BundleWriteError::Encrypt)?;
        out.write_all(&head)?;
        let mut writer = Self { out, channel };
        writer.put(&messages)?;
        writer.channel.set_len_max(FRAME_LEN_MAX);
        Ok(writer)
    }

    /// Writes the next batch.
    pub fn batch(&mut self, batch: &SealedBatch) -> Result<(), BundleWriteError> {
        self.say(&[&[ITEM_BATCH], batch.as_bytes()].concat())
    }

    /// What was written to, without an end.
    #[doc(hidden)]
    pub fn into_inner(self) -> W {
        self.out
    }

    /// Writes the end, and gives back what was written to.
    pub fn finish(mut self) -> Result<W, BundleWriteError> {
        self.say(&[ITEM_END])?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// Writes anything, for whoever tests what readers make of it.
    #[doc(hidden)]
    pub fn say(&mut self, said: &[u8]) -> Result<(), BundleWriteError> {
        let messages = self.channel.seal(said).map_err(|_| BundleWriteError::Encrypt)?;
        Ok(self.put(&messages)?)
    }

    fn put(&mut self, messages: &[Vec<u8>]) -> io::Result<()> {
        for message in messages {
            self.out.write_all(&(message.len() as u16).to_be_bytes())?;
            self.out.write_all(message)?;
        }
        Ok(())
    }
}
