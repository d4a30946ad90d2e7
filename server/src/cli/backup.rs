//! `barid backup`, `barid restore`, `barid check`: what they say.

use std::path::{Path, PathBuf};

use anyhow::bail;
use barid_core::clock::system_clock;
use barid_server::admin::backup::backup;
use barid_server::admin::check::{Views, check};
use barid_server::admin::restore::restore;
use barid_server::data_dir::DataDir;
use clap::Args;

use super::say::say;

/// Findings that are printed.
const FINDINGS_MAX: usize = 100;

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The folder to make; there must be nothing under this name yet.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The folder that `barid backup` made.
    folder: PathBuf,
}

pub(super) fn back_up(data: &DataDir, args: &BackupArgs) -> anyhow::Result<()> {
    let manifest = backup(data, &args.to, system_clock()())?;
    let len: u64 = manifest.files.iter().map(|file| file.len).sum();
    say(format_args!("backed up into {}", args.to.display()))?;
    say(format_args!("  files    {}", manifest.files.len()))?;
    say(format_args!("  bytes    {len}"))?;
    let attachments = manifest.files.iter().filter(|file| file.path.starts_with("attachments/")).count();
    say(format_args!("  attachments {attachments}"))?;
    say(format_args!("  batches  {}", manifest.spaces.iter().map(|space| space.head).sum::<u64>()))?;
    say(format_args!(
        "It holds the relay's secret keys: keep it as safe as the relay, and on another machine."
    ))
}

pub(super) fn bring_back(data: &Path, args: &RestoreArgs) -> anyhow::Result<()> {
    let restored = restore(&args.folder, data)?;
    let dir = data.display();
    say(format_args!("restored into {dir}, as of {}", restored.manifest.made_at))?;
    say(format_args!("  log      {} (was {})", restored.log, restored.manifest.log))?;
    say(format_args!(
        "Next:\n  barid check --data {dir}\n  barid serve --data {dir}     (in place of the old relay, which must not run again)\n\
         Phones give back what they had sent since the backup. Those that were enrolled since must be\n\
         enrolled again; they lose nothing by it. Everybody signs in to the dashboard again."
    ))
}

pub(super) fn look(data: &DataDir) -> anyhow::Result<()> {
    let checked = check(data)?;
    let count = checked.findings.len();
    for finding in checked.findings.iter().take(FINDINGS_MAX) {
        say(format_args!("{finding}"))?;
    }
    if count > FINDINGS_MAX {
        say(format_args!("and {} more", count - FINDINGS_MAX))?;
    }
    if count > 0 {
        bail!("{count} findings in {}", data.root().display());
    }
    let views = match checked.views {
        Views::Compared { merged } => format!(
            "the views equal a replay, and Automerge's merge in each of {merged} records with more than one change"
        ),
        Views::NotBuilt | Views::NotCompared => "there are no views yet".to_owned(),
    };
    let (log, attachments) = (checked.log, checked.attachments);
    say(format_args!(
        "all is well: {} batches of {} spaces, {attachments} attachments, and {views}",
        log.batches, log.spaces
    ))
}
