//! Barid, and a floor of our own, for `../shared/peers/run` and for our own driver.

#![allow(clippy::print_stderr, reason = "a program for drivers, which keep what it says")]

use std::process::ExitCode;

use benchmark::peer::{client, floor_client, floor_server, server};

const USAGE: &str = "benchmark-peer client | server | floor-client | floor-server";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["client"] => Ok(client::serve()),
        ["server"] => server::serve(),
        ["voice", process, init] => match process.parse() {
            Ok(process) => server::speak(process, init),
            Err(_) => Err(USAGE.to_owned()),
        },
        ["floor-client"] => Ok(floor_client::serve()),
        ["floor-server"] => floor_server::serve(),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
