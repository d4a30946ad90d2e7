//! The two commands of the README, each doing all of its own set-up.
//!
//! `cargo demo` builds the dashboard and the relay and runs the demo. `cargo everything` runs every
//! check and every test, with the same steps in the same order here and in CI. What is missing on a
//! Debian or Ubuntu machine is installed with apt, after saying so.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

mod junit;
mod machine;
mod steps;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo demo [OPTIONS OF barid demo]
       cargo everything [STEP ...]     all steps, or those whose name begins so
       cargo everything --list         the names of the steps";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((command, rest)) if command == "demo" => steps::demo(rest),
        Some((command, rest)) if command == "everything" => steps::everything(rest),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
