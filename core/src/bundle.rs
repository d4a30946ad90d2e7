//! Bundles: batches in a file, for one recipient, carried by hand where there is no network.
//!
//! A bundle is encrypted to the key of one relay or device, in the one-way pattern of Noise: whoever
//! finds the USB stick learns how much is on it and nothing else, and whoever alters it is found out.
//! It is signed by nobody: the batches in it are, by their authors. (`age`, which the design first
//! named, would bring some 250 crates into a phone's library and gives nothing out before a whole 64
//! KiB chunk is there; a stick that is pulled out too early should lose one batch.)
//!
//! First comes a manifest that names every batch, then each batch in messages of its own, control and
//! urgent ones first. So a file that was cut, at whatever byte, gives every batch that is whole before
//! the cut, and says which are missing. Writing and reading need memory for the manifest and one batch.

mod carry;
mod file;
mod manifest;
mod missing;
mod read;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
mod write;

use std::io;

pub use carry::{
    BundleRequest, BundleScope, ExportError, ExportReport, ImportError, ImportReport, export, import,
};
pub use file::{FileError, write_file};
pub use manifest::{Manifest, ManifestRun, ManifestSpace};
pub use missing::{MissingRun, missing};
pub use read::{BundleItem, BundleReader};
pub use write::BundleWriter;

use crate::id::DeviceId;
use crate::identity::UnusableKey;

const MAGIC: &[u8; 8] = b"\x89BARIDB\n";
const VERSION: u8 = 1;
const HINT_CONTEXT: &str = "barid 2026 bundle recipient";
/// Magic, version, nonce and hint.
const HEAD_LEN: usize = 25;
const ITEM_BATCH: u8 = 1;
const ITEM_END: u8 = 2;

/// A bundle cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file does not begin as a bundle does.
    #[error("this file is not a bundle")]
    NotABundle,
    /// A newer program made it.
    #[error("the bundle has version {0}, which this program does not know: update it")]
    Version(u8),
    /// It is encrypted to another key.
    #[error("the bundle is for another device or relay")]
    ForAnother,
    /// The file ends too early.
    #[error("the bundle ends too early, at byte {offset}: it was not copied whole")]
    Torn {
        /// Where.
        offset: u64,
    },
    /// The file is not as it was written.
    #[error("the bundle is damaged at byte {offset}, or was altered")]
    Damaged {
        /// Where the message begins that does not hold.
        offset: u64,
    },
    /// The file could not be read.
    #[error("reading the bundle failed at byte {offset}")]
    Read {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

/// A bundle cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum BundleWriteError {
    /// Nothing can be encrypted to the recipient's id.
    #[error("writing a bundle: nothing can be encrypted to this recipient")]
    Recipient(#[from] UnusableKey),
    /// More batches than one bundle may name.
    #[error("writing a bundle: {0} batches are more than one bundle holds; choose fewer spaces")]
    TooMany(usize),
    /// The file could not be written.
    #[error("writing a bundle: the file could not be written")]
    Write(#[from] io::Error),
    /// Something was encrypted that never should have been refused.
    #[error("writing a bundle: encrypting failed")]
    Encrypt,
}

/// Lets the recipient know its own without telling anybody else whose it is.
fn hint(recipient: DeviceId, nonce: &[u8; 8]) -> [u8; 8] {
    let hash = blake3::derive_key(HINT_CONTEXT, &[&recipient.as_bytes()[..], nonce].concat());
    let mut hint = [0; 8];
    hint.copy_from_slice(&hash[..8]);
    hint
}

fn head(recipient: DeviceId, nonce: [u8; 8]) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..8].copy_from_slice(MAGIC);
    head[8] = VERSION;
    head[9..17].copy_from_slice(&nonce);
    head[17..].copy_from_slice(&hint(recipient, &nonce));
    head
}
