//! `barid device`, `barid quarantine`, `barid erase` and `barid trail`.

use anyhow::bail;
use barid_core::batch::Lane;
use barid_core::id::{BatchId, RecordId};
use barid_server::admin::device::{self, RevokeOutcome};
use barid_server::admin::erase::erase;
use barid_server::admin::quarantine::{self, Decided, Held, Part};
use barid_server::admin::trail;
use barid_server::data_dir::DataDir;
use barid_server::view::shape::rfc3339;
use clap::{Args, Subcommand, ValueEnum};

use super::say::say;

#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// List the devices: id, state, organisation, when its last batch came, batches in quarantine, label.
    List,
    /// End the trust in a device, for one that is lost, seized or not returned.
    ///
    /// What this relay holds of it in this moment stands. Whatever else it has written, or will write,
    /// goes into quarantine: nobody gets to see it unless you adopt it. Its link is cut at once; it may
    /// link again to hand over what it has, and gets nothing. A device stays revoked: to readmit a
    /// phone, enrol it anew with a new database. The relay may be running.
    Revoke {
        /// Its label, its id, or the first six or more digits of the id.
        device: String,
        /// Why, for the people who read it later on every device.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Ask the device, when it connects, to seal what nobody else holds to its organisation and then
        /// to delete what it holds. Whether it does is up to the app on it.
        #[arg(long)]
        wipe: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum QuarantineCommand {
    /// List what is in quarantine, a line for each chain of a device.
    List,
    /// Let what a revoked device wrote beyond its cut stand, for everybody.
    ///
    /// All of it, or the part that the options name. It is appended to the log as if it came now. Where
    /// it has several branches, the longest is adopted. This cannot be taken back.
    Adopt {
        /// The device: its label, its id, or the first six or more digits of the id.
        device: String,
        #[command(flatten)]
        part: PartArgs,
        /// Up to this batch, with what leads to it; its whole id, for a branch that is not the longest.
        #[arg(long, value_name = "ID")]
        batch: Option<BatchId>,
    },
    /// Delete what a revoked device wrote beyond its cut, on this relay and on every device that has it.
    ///
    /// All of it, or the part that the options name. Only what a valid member has built on stands all
    /// the same, with what it needs. This cannot be taken back.
    Discard {
        /// The device: its label, its id, or the first six or more digits of the id.
        device: String,
        #[command(flatten)]
        part: PartArgs,
        /// Really do it; without this, say what would be discarded.
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(super) struct PartArgs {
    /// In this space alone: its name in either language, or its id.
    #[arg(long, value_name = "NAME")]
    space: Option<String>,
    /// In this lane alone.
    #[arg(long, value_name = "LANE")]
    lane: Option<LaneArg>,
    /// Up to this place of each chain.
    #[arg(long, value_name = "SEQ")]
    up_to: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LaneArg {
    Urgent,
    Normal,
    Bulk,
}

#[derive(Debug, Args)]
pub(super) struct EraseArgs {
    /// The record's kind, such as event or patrol; `track` for all of a patrol's track.
    kind: String,
    /// The record's id, as the dashboard and the API show it; of a track, the patrol's.
    record: RecordId,
    /// The space that it is in: its name in either language, or its id.
    #[arg(long, value_name = "NAME")]
    space: String,
    /// Really do it.
    #[arg(long)]
    yes: bool,
}

impl PartArgs {
    fn part(self, batch: Option<BatchId>) -> Part {
        let lane = self.lane.map(|lane| match lane {
            LaneArg::Urgent => Lane::Urgent,
            LaneArg::Normal => Lane::Normal,
            LaneArg::Bulk => Lane::Bulk,
        });
        Part { space: self.space, lane, up_to: self.up_to, batch }
    }
}

pub(super) fn about_devices(data: &DataDir, command: DeviceCommand) -> anyhow::Result<()> {
    match command {
        DeviceCommand::List => {
            for device in device::list(data)? {
                let last = device.last_received.map_or_else(|| "never".to_owned(), rfc3339);
                let device::Listed { id, state, organisation_name, quarantined, label, .. } = device;
                say(format_args!(
                    "{id}\t{state}\t{organisation_name}\t{last}\t{quarantined} in quarantine\t{label}"
                ))?;
            }
            Ok(())
        }
        DeviceCommand::Revoke { device, reason, wipe } => {
            let device = device::find(data, &device)?;
            let mut is_whole = true;
            for revoked in device::revoke(data, &device, &reason, wipe)? {
                let space = revoked.space_name;
                match revoked.outcome {
                    RevokeOutcome::Done { chains, batches, unnamed } => {
                        say(format_args!(
                            "{space}: revoked. {batches} batches of {chains} chains stand, whatever is beyond \
                             them goes into quarantine."
                        ))?;
                        if unnamed > 0 {
                            say(format_args!(
                                "{space}: it has {unnamed} more chains than a revoke can name; nothing of them \
                                 stands. See `barid quarantine list`."
                            ))?;
                        }
                    }
                    RevokeOutcome::Already => say(format_args!("{space}: it was revoked before."))?,
                    RevokeOutcome::NoSigner => {
                        is_whole = false;
                        say(format_args!(
                            "{space}: NOT revoked, because the key that may do it is not in this data directory."
                        ))?;
                    }
                }
            }
            if !is_whole {
                bail!(
                    "`{0}` is still trusted in a space: lay the key of its organisation into `organisations` \
                     and say it again, or revoke it at the relay that has the key",
                    device.label
                );
            }
            Ok(())
        }
    }
}

pub(super) fn about_quarantine(data: &DataDir, command: QuarantineCommand) -> anyhow::Result<()> {
    match command {
        QuarantineCommand::List => {
            let all = quarantine::list(data)?;
            all.iter().try_for_each(held)?;
            if all.is_empty() { say(format_args!("nothing is in quarantine")) } else { Ok(()) }
        }
        QuarantineCommand::Adopt { device, part, batch } => {
            let device = device::find(data, &device)?;
            let decided = quarantine::adopt(data, &device, &part.part(batch))?;
            say(format_args!("adopted {}", counted(&decided)))?;
            left(&decided)
        }
        QuarantineCommand::Discard { device, part, yes } => {
            let device = device::find(data, &device)?;
            let part = part.part(None);
            if !yes {
                let decided = quarantine::would_discard(data, &device, &part)?;
                bail!(
                    "this would discard {} of `{}` for good: say so with --yes",
                    counted(&decided),
                    device.label
                );
            }
            let decided = quarantine::discard(data, &device, &part)?;
            say(format_args!("discarded {}", counted(&decided)))?;
            left(&decided)
        }
    }
}

pub(super) fn erase_record(data: &DataDir, args: &EraseArgs) -> anyhow::Result<()> {
    if !args.yes {
        bail!(
            "this would delete the content of {} {} here and on every device for good: say so with --yes",
            args.kind,
            args.record
        );
    }
    let erased = erase(data, &args.kind, args.record, &args.space)?;
    if erased.already {
        return say(format_args!("it was erased before"));
    }
    say(format_args!(
        "erased: its content is deleted here, and on each device when that next syncs. Backups made before \
         still hold it."
    ))?;
    if !erased.is_gone {
        bail!(
            "a program still reads the log as it was, so its files hold traces of it: try `barid erase` again"
        );
    }
    Ok(())
}

/// Prints the audit trail and fails if it was tampered with.
pub(super) fn print_trail(data: &DataDir) -> anyhow::Result<()> {
    let (entries, broken) = trail(data)?;
    for entry in &entries {
        let (at, details) = (rfc3339(entry.at), entry.details_text());
        say(format_args!("{}\t{at}\t{}\t{}\t{details}", entry.number, entry.action, entry.by))?;
    }
    if let Some(last) = entries.last() {
        say(format_args!("hash {}", barid_core::id::to_hex(&last.hash)))?;
    }
    match broken {
        Some(number) => bail!("the audit trail is not as it was written from entry {number} on"),
        None => Ok(()),
    }
}

fn held(held: &Held) -> anyhow::Result<()> {
    let Held { space_name, device, label, incarnation, lane, reason, seqs, batches, entries, len, .. } = held;
    let lane = match lane {
        Lane::Urgent => "urgent",
        Lane::Normal => "normal",
        Lane::Bulk => "bulk",
    };
    let chain = barid_core::id::to_hex(incarnation.as_bytes());
    let (first, last) = (rfc3339(held.received.0), rfc3339(held.received.1));
    say(format_args!(
        "{}\t{space_name}\t{lane} {chain}\t{}–{}\t{batches} batches\t{entries} entries\t{len} bytes\t\
         {first} to {last}\t{reason}\t{label}",
        &device.to_string()[..12],
        seqs.0,
        seqs.1
    ))
}

fn counted(decided: &Decided) -> String {
    format!("{} batches with {} entries", decided.batches, decided.entries)
}

fn left(decided: &Decided) -> anyhow::Result<()> {
    match decided.left {
        0 => Ok(()),
        left => say(format_args!(
            "{left} batches stay in quarantine: they are of another branch, or one before them is missing. \
             What is of another branch below the cut has to be recorded anew."
        )),
    }
}
