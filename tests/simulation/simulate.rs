//! Runs many worlds: `cargo run --release -p barid-tests --bin simulate -- --seeds 100000`.

#![allow(clippy::print_stdout, reason = "a program of the tests")]

use std::process::ExitCode;
use std::time::Instant;

use harness::world::{Coverage, Double, run};

const USAGE: &str = "simulate [--from SEED] [--seeds COUNT]";

fn main() -> ExitCode {
    let (mut from, mut count) = (0, 1_000);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number = words.next().and_then(|number| number.parse().ok());
        match (word.as_str(), number) {
            ("--from", Some(number)) => from = number,
            ("--seeds", Some(number)) => count = number,
            _ => {
                println!("{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    let begin = Instant::now();
    let (mut coverage, mut violations) = (Coverage::default(), 0_u64);
    for seed in from..from + count {
        let outcome = run(seed, Double::Honest);
        coverage.merge(&outcome.coverage);
        if let Some(violation) = outcome.violation {
            violations += 1;
            println!("SEED={seed}  {}: {}", violation.checker, violation.found);
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    println!("{coverage}");
    println!(
        "{count} worlds in {seconds:.1} s ({:.0} a minute), {violations} violations",
        count as f64 * 60.0 / seconds
    );
    if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
