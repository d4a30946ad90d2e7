//! Runs many worlds: `cargo run --release -p barid-tests --bin simulate -- --seeds 100000`.
//!
//! Each world lives in one thread; as many live at once as there are cores. Whatever is found is
//! printed as it is found, and what was run at the end.

#![allow(clippy::print_stdout, reason = "a program of the tests")]

use std::process::ExitCode;

use harness::world::{Double, Plan, many};

const USAGE: &str = "simulate [--from SEED] [--seeds COUNT] [--cores COUNT] [--double NAME]
--double runs a wrong relay or wrong phones, until the first world that catches it";

fn main() -> ExitCode {
    match plan() {
        Some(plan) => {
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

fn plan() -> Option<Plan> {
    let mut plan = Plan { from: 0, seeds: 1_000, ..Plan::default() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next()?;
        match word.as_str() {
            "--from" => plan.from = value.parse().ok()?,
            "--seeds" => plan.seeds = value.parse().ok()?,
            "--cores" => plan.cores = value.parse().ok()?,
            "--double" => {
                plan.double = *Double::WRONG.iter().find(|double| format!("{double:?}") == value)?;
            }
            _ => return None,
        }
    }
    Some(plan)
}
