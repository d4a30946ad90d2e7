//! The benchmark: `cargo run --release --package barid-benchmark`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use benchmark::driver::contestant::OWN;
use benchmark::driver::peers::{self, PEERS};
use benchmark::driver::workloads::{self, Plan};
use benchmark::load::{self, Load};
use benchmark::local;
use benchmark::peer::{client, floor_client, floor_server, server};
use benchmark::plot;
use benchmark::table::{self, Rows};
use serde_json::Value as Json;

const USAGE: &str = "usage: benchmark [WHAT] [OPTION ...]

WHAT, all of it if nothing is named:
  workloads    W1 to W6 for Barid, the floor and the peers
  local        a device's own operations beside raw SQLite, with 100,000 records
  relay        appends, watchers and connections of one relay
  table        only the tables and the plot, of what was measured before
  smoke        Barid and our own floor with few records, in seconds

  client, server, floor-client, floor-server
               speak the peers' line protocol on standard input

OPTION:
  --counts 2000,20000,100000   how many records; a million is for Barid and the floor alone
  --only barid,floor           these contestants
  --workloads 1,2,3            these workloads
  --light                      local and relay: a hundredth of everything, to see that it works
  --own                        our own driver, also where the peers' `run` is
  --out DIR                    where results are kept [default: target/benchmark]";

/// What to do, with what.
struct Options {
    counts: Vec<u32>,
    only: Option<Vec<String>>,
    workloads: Vec<u8>,
    own: bool,
    light: bool,
    out: PathBuf,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<(), String> {
    let what = words.first().copied().filter(|word| !word.starts_with('-'));
    let rest = &words[usize::from(what.is_some())..];
    match (what, rest) {
        (Some("client"), []) => client::serve(),
        (Some("server"), []) => return server::serve(),
        (Some("voice"), [process, init]) => {
            return server::speak(process.parse().map_err(|_| USAGE)?, init);
        }
        (Some("floor-client"), []) => floor_client::serve(),
        (Some("floor-server"), []) => return floor_server::serve(),
        (what, rest) => return measure(what, &Options::parse(rest)?),
    }
    Ok(())
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let target = std::env::current_exe().map_err(|error| error.to_string())?;
        let target = target.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
        let mut options = Self {
            counts: vec![2_000, 20_000, 100_000, 1_000_000],
            only: None,
            workloads: vec![1, 2, 3, 4, 5, 6],
            own: false,
            light: false,
            out: target.join("benchmark"),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if *word == "--own" {
                options.own = true;
                continue;
            }
            if *word == "--light" {
                options.light = true;
                continue;
            }
            let value = words.next().ok_or(USAGE)?;
            let list = || value.split(',').map(str::to_owned);
            match *word {
                "--counts" => options.counts = numbers(value)?,
                "--workloads" => options.workloads = numbers(value)?,
                "--only" => options.only = Some(list().collect()),
                "--out" => options.out = value.into(),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }

    fn wants(&self, contestant: &str, count: u32) -> bool {
        let is_light = count < 1_000_000 || OWN.iter().any(|own| own.name == contestant);
        is_light && self.only.as_ref().is_none_or(|only| only.iter().any(|name| name == contestant))
    }
}

fn numbers<T: std::str::FromStr>(list: &str) -> Result<Vec<T>, String> {
    list.split(',').map(|number| number.parse().map_err(|_| USAGE.to_owned())).collect()
}

fn measure(what: Option<&str>, options: &Options) -> Result<(), String> {
    std::fs::create_dir_all(&options.out).map_err(|error| format!("{}: {error}", options.out.display()))?;
    if what != Some("table") {
        build_relay()?;
    }
    match what {
        Some("workloads") => run_workloads(options)?,
        Some("local") => run_local(options)?,
        Some("relay") => run_relay(options)?,
        Some("smoke") => return smoke(options),
        Some("table") => {}
        None => {
            run_workloads(options)?;
            run_local(options)?;
            run_relay(options)?;
        }
        Some(_) => return Err(USAGE.to_owned()),
    }
    write_tables(options)
}

/// Builds `barid` as this program was built, unless `BARID` names one.
fn build_relay() -> Result<(), String> {
    let (Some(cargo), None) = (std::env::var_os("CARGO"), std::env::var_os("BARID")) else { return Ok(()) };
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", "barid-server", "--bin", "barid"]);
    if !cfg!(debug_assertions) {
        build.arg("--release");
    }
    let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("building barid: {status}")) }
}

fn run_workloads(options: &Options) -> Result<(), String> {
    let shared = peers::folder().filter(|_| !options.own);
    match &shared {
        Some(folder) => {
            println!("driven by {}", folder.join("run").display());
            peers::make(folder)?;
        }
        None => println!("the peers are not here: Barid and a floor of our own, by our own driver"),
    }
    for count in &options.counts {
        let plan = Plan {
            count: *count,
            workloads: options.workloads.clone(),
            clients: 100,
            limit: Duration::from_secs(if *count < 1_000_000 { 600 } else { 3_600 }),
            merge_limit: Duration::from_secs(45),
        };
        let own = OWN.iter().map(|own| own.name);
        let others = PEERS.iter().copied().filter(|_| shared.is_some());
        for name in own.chain(others).filter(|name| options.wants(name, *count)) {
            contend(name, &plan, shared.as_deref(), options)?;
        }
    }
    Ok(())
}

fn contend(name: &str, plan: &Plan, shared: Option<&Path>, options: &Options) -> Result<(), String> {
    let mut sink = |row: Json| keep(&options.out, &row);
    match (shared, OWN.iter().find(|own| own.name == name)) {
        (Some(folder), _) => {
            if let Err(error) = peers::run(folder, name, plan, &mut sink) {
                println!("{error}");
            }
        }
        (None, Some(own)) => workloads::run(own, plan, &options.out, &mut sink),
        (None, None) => return Err(format!("{name} runs only where the peers are")),
    }
    Ok(())
}

fn run_local(options: &Options) -> Result<(), String> {
    let count = if options.light { 1_000 } else { 100_000 };
    local::run(count, &options.out, &mut |row| keep(&options.out, &row)).map_err(|error| error.to_string())
}

fn run_relay(options: &Options) -> Result<(), String> {
    let full = Load { changes: 10_000, watchers: 1_000, idle: 10_000, active: 1_000 };
    let light = Load { changes: 100, watchers: 10, idle: 100, active: 10 };
    let load = if options.light { light } else { full };
    load::run(&load, &options.out, &mut |row| keep(&options.out, &row)).map_err(|error| error.to_string())
}

/// Prints a row and keeps it for the tables.
fn keep(out: &Path, row: &Json) {
    println!("{row}");
    let file = std::fs::File::options().create(true).append(true).open(out.join("results.jsonl"));
    if let Err(error) = file.and_then(|mut file| writeln!(file, "{row}")) {
        eprintln!("keeping a row: {error}");
    }
}

/// A few records through every workload; fails if any row does not verify.
fn smoke(options: &Options) -> Result<(), String> {
    let mut rows = Vec::new();
    for own in &OWN {
        let plan = Plan {
            count: 300,
            workloads: vec![1, 2, 3, 4, 5, 6],
            clients: 4,
            limit: Duration::from_secs(60),
            // The floor never merges, and waiting for it would be the longest part of the run.
            merge_limit: Duration::from_secs(if own.name == "floor" { 1 } else { 20 }),
        };
        workloads::run(own, &plan, &options.out, &mut |row| {
            println!("{row}");
            rows.push(row);
        });
    }
    let is_wrong = |row: &&Json| {
        // The floor keeps one side of a conflict: that is what it is.
        let merges = row["peer"] == "floor" || row["equals_full_merge"] != false;
        row.get("failed").is_some() || row["verify"] == false || !merges
    };
    match rows.iter().find(is_wrong) {
        Some(row) => Err(format!("this row is wrong: {row}")),
        None => {
            println!("{} rows, each verified", rows.len());
            Ok(())
        }
    }
}

fn write_tables(options: &Options) -> Result<(), String> {
    let lines = std::fs::read_to_string(options.out.join("results.jsonl")).unwrap_or_default();
    let rows = Rows::read(&lines);
    let tables = [rows.to_markdown(), table::local(&lines), table::relay(&lines)].concat();
    println!("{tables}");
    for (name, text) in [("results.md", tables), ("plot.svg", plot::draw(&rows))] {
        let path = options.out.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
