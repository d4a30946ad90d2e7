//! `barid recover`: a device's database, from what its damaged file still holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use barid_core::id::from_hex;
use barid_core::identity::Identity;
use barid_core::model::Kinds;
use barid_core::store::{RecoverError, Store, StoreConfig};
use barid_server::keys;
use clap::Args;
use zeroize::Zeroizing;

use super::say::say;

#[derive(Debug, Args)]
pub(super) struct RecoverArgs {
    /// The damaged file, such as field.db.damaged-1; its -wal file is read too, if it is beside it.
    file: PathBuf,
    /// The database to write; made if there is none. [default: the name before the damage, or the
    /// file's with .recovered]
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
    /// The device's secret key, needed if the file holds work that was not sent: a file with 32
    /// bytes, with 64 hexadecimal digits, or a key file of a relay.
    #[arg(long, value_name = "FILE")]
    seed_file: Option<PathBuf>,
}

/// Recovers, and says what was found.
pub(super) fn run(args: &RecoverArgs) -> anyhow::Result<()> {
    let into = args.into.clone().unwrap_or_else(|| default_target(&args.file));
    let identity = args.seed_file.as_deref().map(read_seed).transpose()?.map(Arc::new);
    let config = StoreConfig { identity, kinds: Kinds::built_in(), ..StoreConfig::replica(&into) };
    let report = match Store::recover(&args.file, config) {
        Err(error @ RecoverError::NoIdentity) => {
            return Err(error).context("give the device's key with --seed-file");
        }
        result => result?,
    };
    say(format_args!("recovered into {}", into.display()))?;
    say(format_args!("  spaces                     {}", report.spaces))?;
    say(format_args!("  batches                    {}", report.batches))?;
    say(format_args!("  of them own, to send again {}", report.batches_own_unsent))?;
    say(format_args!("  batches left to the relay  {}", report.batches_left))?;
    say(format_args!(
        "  unsent changes             {}",
        report.pending_reauthored + report.entries_reauthored
    ))?;
    say(format_args!("  unsent, already in a batch {}", report.pending_skipped))?;
    say(format_args!("  refused                    {}", report.failed))?;
    say(format_args!(
        "  unreadable                 {} bytes of {} pages",
        report.bytes_unreadable, report.pages
    ))
}

/// The name that a store had before it was put aside as damaged.
fn default_target(damaged: &Path) -> PathBuf {
    let text = damaged.to_string_lossy();
    match text.rsplit_once(".damaged-") {
        Some((before, number)) if number.bytes().all(|b| b.is_ascii_digit()) => before.into(),
        _ => format!("{text}.recovered").into(),
    }
}

fn read_seed(path: &Path) -> anyhow::Result<Identity> {
    if let Ok(identity) = keys::load(path) {
        return Ok(identity);
    }
    let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let bytes = Zeroizing::new(bytes);
    let as_text = || std::str::from_utf8(&bytes).ok().and_then(|text| from_hex::<32>(text.trim()));
    match <[u8; 32]>::try_from(bytes.as_slice()).ok().or_else(as_text) {
        Some(seed) => Ok(Identity::from_seed(seed)),
        None => bail!("{} holds no key: neither 32 bytes nor 64 hexadecimal digits", path.display()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_file_put_aside_is_recovered_under_its_first_name() {
        for (damaged, expected) in [
            ("a/field.db.damaged-12", "a/field.db"),
            ("a/field.db", "a/field.db.recovered"),
            ("x.damaged-y", "x.damaged-y.recovered"),
        ] {
            assert_eq!(default_target(Path::new(damaged)), Path::new(expected));
        }
    }

    #[test]
    fn a_key_is_read_in_each_of_its_forms() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::from_seed([7; 32]);
        let path = dir.path().join("seed");
        keys::save(&path, &identity).unwrap();
        assert_eq!(read_seed(&path).unwrap().device(), identity.device());
        for bytes in
            [vec![7; 32], "07".repeat(32).into_bytes(), format!("{}\n", "07".repeat(32)).into_bytes()]
        {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(read_seed(&path).unwrap().device(), identity.device());
        }
        std::fs::write(&path, "no key").unwrap();
        assert!(read_seed(&path).is_err());
    }
}
