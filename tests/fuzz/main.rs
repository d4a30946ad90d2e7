//! Fuzzes one target, or many side by side in processes of their own.
//!
//!     cargo run --release --package barid-tests --bin fuzz -- --runs 10000000 change
//!     cargo run --release --package barid-tests --bin fuzz -- --seconds 60 --jobs 2 all
//!     cargo run --release --package barid-tests --bin fuzz -- --replay FILE change
//!
//! Failing inputs are written to `tests/fuzz/crashers/TARGET/`, where the test `crashers` runs them
//! from then on.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, reason = "a program of the tests")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use harness::fuzz::driver::{self, Budget, MEMORY_LEN_MAX, TIME_MAX};
use harness::fuzz::memory::Counting;
use harness::fuzz::targets;

#[global_allocator]
static MEMORY: Counting = Counting;

/// What a thread of the relay has.
const STACK_LEN: usize = 2 * 1024 * 1024;
/// Beyond its time, a child that says nothing is stuck in one input.
const STUCK: Duration = Duration::from_secs(60);

struct Options {
    runs: u64,
    seconds: u64,
    seed: u64,
    jobs: usize,
    replay: Option<PathBuf>,
    targets: Vec<String>,
}

fn options() -> Options {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut options = Options {
        runs: u64::MAX,
        seconds: u64::MAX,
        seed: now.as_nanos() as u64,
        jobs: 1,
        replay: None,
        targets: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|word| word.parse().ok()).expect("a number follows");
        match word.as_str() {
            "--runs" => options.runs = number(),
            "--seconds" => options.seconds = number(),
            "--seed" => options.seed = number(),
            "--jobs" => options.jobs = number() as usize,
            "--replay" => options.replay = words.next().map(PathBuf::from),
            "all" => options.targets.extend(targets::ALL.iter().map(|(name, _)| (*name).to_owned())),
            name => options.targets.push(name.to_owned()),
        }
    }
    if options.runs == u64::MAX && options.seconds == u64::MAX {
        options.seconds = 60;
    }
    options
}

fn main() -> ExitCode {
    let options = options();
    if options.targets.is_empty() {
        println!(
            "usage: fuzz [--runs N] [--seconds N] [--seed N] [--jobs N] [--replay FILE] TARGET... | all"
        );
        targets::ALL.iter().for_each(|(name, _)| println!("  {name}"));
        return ExitCode::FAILURE;
    }
    let done = match &options.targets[..] {
        [one] => {
            let one = one.clone();
            let work = move || run(&one, &options);
            std::thread::Builder::new().stack_size(STACK_LEN).spawn(work).unwrap().join().unwrap()
        }
        _ => run_children(&options),
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn crashers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/crashers")
}

/// Fuzzes one target here.
fn run(name: &str, options: &Options) -> bool {
    let mut target = targets::named(name).unwrap_or_else(|| panic!("no target is called {name}"));
    driver::hear_panics();
    if let Some(file) = &options.replay {
        let checked = driver::check(&mut *target, &std::fs::read(file).unwrap());
        println!("{name}: {checked:?}");
        return checked.is_ok();
    }
    let time = Duration::from_secs(options.seconds.min(u64::from(u32::MAX)));
    let budget = Budget { runs: options.runs, time };
    let report = driver::fuzz(&mut *target, options.seed, budget, &crashers()).unwrap();
    driver::forget_last_input(name, std::process::id());
    println!(
        "{name}: {} runs in {:.0?} (seed {}), {} kinds of outcome, {} inputs kept, slowest {:.1?}, \
         most memory {} KiB, {} failures",
        report.runs,
        report.time,
        options.seed,
        report.signals,
        report.kept,
        report.slowest,
        report.memory / 1024,
        report.failures.len()
    );
    for (failure, path) in &report.failures {
        println!("  {failure:?}\n    {}", path.display());
    }
    report.failures.is_empty()
}

/// Fuzzes several, each in a process of its own, so that one that dies takes no other along.
fn run_children(options: &Options) -> bool {
    println!("each input: at most {TIME_MAX:?} and {} MiB", MEMORY_LEN_MAX / 1024 / 1024);
    let mut waiting = options.targets.iter().rev().collect::<Vec<_>>();
    let mut running: Vec<(&String, Child, std::time::Instant)> = Vec::new();
    let mut all_passed = true;
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < options.jobs.max(1)
            && let Some(name) = waiting.pop()
        {
            running.push((name, spawn(name, options), std::time::Instant::now()));
        }
        running.retain_mut(|(name, child, begun)| {
            let late = Duration::from_secs(options.seconds.min(86_400)) + STUCK;
            if begun.elapsed() > late {
                println!("{name}: stuck in one input");
                child.kill().ok();
            }
            let Some(status) = child.try_wait().unwrap() else { return true };
            if !status.success() {
                all_passed = false;
                if let Some(input) = driver::last_input(name, child.id()) {
                    let path = crashers().join(name.as_str()).join("died");
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(&path, input).unwrap();
                    println!("{name}: the process died ({status}) of {}", path.display());
                }
            }
            driver::forget_last_input(name, child.id());
            false
        });
        std::thread::sleep(Duration::from_millis(20));
    }
    all_passed
}

fn spawn(name: &str, options: &Options) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--seed", &options.seed.to_string()]).stdin(Stdio::null());
    if options.runs != u64::MAX {
        child.args(["--runs", &options.runs.to_string()]);
    }
    if options.seconds != u64::MAX {
        child.args(["--seconds", &options.seconds.to_string()]);
    }
    child.arg(name).spawn().unwrap()
}
