//! `barid export` and `barid import`: what is carried by hand where there is no network.

use std::path::PathBuf;

use anyhow::bail;
use barid_core::bundle::MissingRun;
use barid_core::id::SpaceId;
use barid_server::admin::bundle::{self, Exported};
use barid_server::config::Config;
use barid_server::data_dir::DataDir;
use barid_server::log::bundle::Imported;
use clap::Args;

use super::say::say;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Whom it is for: a device's label, its id or the beginning of it; or the key of another relay.
    #[arg(long, value_name = "DEVICE|KEY")]
    to: String,
    /// A space to put in, by its id; may be repeated. [default: all of which the device is a member]
    #[arg(long, value_name = "ID")]
    space: Vec<SpaceId>,
    /// The file to write, which must not be there yet.
    file: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct ImportArgs {
    /// The bundle.
    file: PathBuf,
}

/// Writes a bundle, and says what is in it.
pub(super) fn export(data: &DataDir, args: &ExportArgs) -> anyhow::Result<()> {
    let Exported { recipient, label, spaces, batches, len, damaged } =
        bundle::export(data, &args.to, &args.space, &args.file)?;
    say(format_args!("{}", args.file.display()))?;
    say(format_args!(
        "  for      {recipient}{}",
        label.map(|label| format!(" ({label})")).unwrap_or_default()
    ))?;
    for (space, full) in spaces {
        let only = if full { "" } else { " (no member any more: control batches only)" };
        say(format_args!("  space    {space}{only}"))?;
    }
    say(format_args!("  batches  {batches}, {len} bytes"))?;
    if damaged > 0 {
        bail!("{damaged} batches are not in it: the disk has spoiled them; `barid check` names them");
    }
    Ok(())
}

/// Takes a bundle in, and says what became of each batch.
pub(super) fn import(config: &Config, args: &ImportArgs) -> anyhow::Result<()> {
    let imported = bundle::import(config, &args.file)?;
    let Imported { batches_total, appended, held, quarantined, retry, refused, missing, damage, .. } =
        &imported;
    say(format_args!("{}", args.file.display()))?;
    say(format_args!("  batches      {batches_total}"))?;
    say(format_args!("  new          {appended}"))?;
    say(format_args!("  held before  {held}"))?;
    for (reason, count) in quarantined {
        say(format_args!("  quarantined  {count}: {reason}"))?;
    }
    for (reason, count) in retry {
        say(format_args!("  not yet      {count}: {reason}"))?;
    }
    for (reason, count) in refused {
        say(format_args!("  refused      {count}: {reason}"))?;
    }
    for run in missing {
        say(format_args!("  missing      {}", run_text(run)))?;
    }
    if let Some(damage) = damage {
        say(format_args!("  {damage}"))?;
    }
    if !imported.is_whole() {
        bail!("not everything in {} could be taken in; what could is", args.file.display());
    }
    Ok(())
}

fn run_text(run: &MissingRun) -> String {
    let last = run.from + run.batches.len() as u64 - 1;
    let MissingRun { space, device, lane, from, .. } = run;
    format!("{} of device {device}, {lane:?} lane, {from} to {last}, in space {space}", run.batches.len())
}
