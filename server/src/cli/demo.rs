//! `barid demo`, as it is typed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use barid_server::config::{Config, Flags};
use barid_server::demo::{self, Options};
use barid_server::trace;
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// How long to run, such as 60s or 5m; otherwise until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    duration: Option<Duration>,
    /// A GPX file whose track the first phone rides.
    #[arg(long, value_name = "FILE")]
    gpx: Option<PathBuf>,
    /// Keep everything in this directory, and leave it there at the end.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    settings: Box<Flags>,
}

pub(super) fn run(args: DemoArgs) -> anyhow::Result<()> {
    let mut settings = *args.settings;
    // The terminal belongs to the phones; whoever wants traces says so.
    settings.trace_filter.get_or_insert_with(|| "error".to_owned());
    let config = Config::load(Path::new(""), None, &settings)?;
    trace::init(&config).context("reading trace_filter")?;
    let options = Options {
        listen: settings.listen,
        keep: args.keep,
        duration: args.duration,
        gpx: args.gpx,
        settings,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = runtime.block_on(demo::run(options, super::stop()));
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// Reads a time such as `90s`, `5m`, `1h`, or a number of seconds.
fn parse_time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(end) => text.split_at(end),
        None => (text, "s"),
    };
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("a time is a number and s, m or h, such as 90s".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a time begins with a number, such as 90s".to_owned())?;
    number.checked_mul(unit_s).map(Duration::from_secs).ok_or("that is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [("60s", Some(60)), ("5m", Some(300)), ("2h", Some(7200)), ("90", Some(90))] {
            assert_eq!(parse_time(text).ok().map(|time| time.as_secs()), seconds, "{text}");
        }
        for text in ["", "s", "1d", "-5s", "5 s", "99999999999999999999h"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
