//! Counts the instructions of the hot functions with callgrind and compares them with what is
//! committed: times on shared machines are noise, these are not.
//!
//! A function is run a few times and a few times more under valgrind; the difference is its own.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::{Command, ExitCode};

use benchmark::hot::{FUNCTIONS, Hot};

/// Instructions per record that each function may take: `name bound bound`, a line each, the first of the
/// release build and the second of the one that tests use.
const BOUNDS: &str = include_str!("../../instructions.txt");
/// Calls in the first and in the second run.
const CALLS: [u32; 2] = [2, 12];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [name, calls] = &words[..] {
        return call(name, calls.parse().unwrap_or(0));
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIPPED: valgrind is not installed, so no instruction was counted");
        return ExitCode::SUCCESS;
    }
    match compare() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What valgrind runs.
fn call(name: &str, calls: u32) -> ExitCode {
    let hot = Hot::new();
    let Some((_, call, _)) = FUNCTIONS.iter().find(|function| function.0 == name) else {
        return ExitCode::FAILURE;
    };
    for _ in 0..calls {
        black_box(call(black_box(&hot)));
    }
    ExitCode::SUCCESS
}

/// Whether every function stays within its bound; prints them all.
fn compare() -> Result<bool, String> {
    let column = if cfg!(debug_assertions) { 2 } else { 1 };
    let read = |line: &'static str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        Some((*words.first()?, words.get(column)?.parse::<u64>().ok()?))
    };
    let bounds: BTreeMap<&str, u64> = BOUNDS.lines().filter_map(read).collect();
    let mut within = true;
    println!("| function | instructions per record | bound |\n|---|---:|---:|");
    for (name, _, records) in FUNCTIONS {
        let counts = CALLS.map(|calls| count(name, calls));
        let [few, more] = counts;
        let calls = u64::from((CALLS[1] - CALLS[0]) * records);
        let each = (more?.saturating_sub(few?)) / calls;
        let bound = bounds.get(name).copied().unwrap_or(0);
        println!("| {name} | {each} | {bound} |");
        if each > bound {
            within = false;
            println!("{name} takes more instructions than tests/benchmark/instructions.txt allows");
        }
    }
    Ok(within)
}

/// Instructions of this program with so many calls.
fn count(name: &str, calls: u32) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([name, &calls.to_string()])
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split("Collected :").nth(1));
    let count = collected.and_then(|count| count.trim().parse().ok());
    count.ok_or_else(|| format!("valgrind counted nothing for {name}:\n{text}"))
}
