//! Runs many worlds: `cargo run --release -p barid-tests --bin simulate -- --seeds 100000`.
//!
//! Each world lives in one thread; as many live at once as there are cores. Whatever is found is
//! printed as it is found, and what was run at the end.

#![allow(clippy::print_stdout, reason = "a program of the tests")]

use std::process::ExitCode;

use harness::world::{Double, Plan, doubles, many};

const USAGE: &str = "simulate [--from SEED] [--seeds COUNT] [--cores COUNT] [--devices COUNT] [--double NAME]
--devices says how many phones each world has, at least 3
--double runs a wrong relay or wrong phones, until the first world that catches it; all of them each";

fn main() -> ExitCode {
    match plan() {
        Some((plan, true)) => match doubles(plan, |line| println!("{line}")) {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        },
        Some((plan, false)) => {
            let report = many(plan, |line| println!("{line}"));
            println!("{report}");
            let is_wrong = plan.double != Double::Honest;
            if report.violations.is_empty() == is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        None => {
            println!("{USAGE}\nwrong doubles:");
            Double::WRONG.iter().for_each(|double| println!("    {double:?}"));
            ExitCode::FAILURE
        }
    }
}

/// What is to be run, and whether with every wrong double.
fn plan() -> Option<(Plan, bool)> {
    let mut plan = Plan { from: 0, seeds: 1_000, ..Plan::default() };
    let mut is_all = false;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--from" => plan.from = value.parse().ok()?,
            "--seeds" => plan.seeds = value.parse().ok()?,
            "--cores" => plan.cores = value.parse().ok()?,
            "--devices" => plan.devices = Some(value.parse().ok().filter(|count| *count >= 3)?),
            "--double" if value == "all" => is_all = true,
            "--double" => {
                plan.double = *Double::WRONG.iter().find(|double| format!("{double:?}") == value)?;
            }
            _ => return None,
        }
    }
    Some((plan, is_all))
}
